// The subroutine UMAT of Abaqus/Standard, and of codes that call it the same way.
//
// Abaqus keeps components in the order 11, 22, 33, 12, 13, 23 with engineering shear strains;
// a law has them in Mandel notation. STATEV holds the state of `neml2fe.h`; old strains and
// stresses in it are those that Abaqus hands over, which it may have rotated or initialised.

#include <strings.h>

#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <utility>

#include "library.h"
#include "tensors.h"

extern "C" void xit_(void) __attribute__((weak));  // how Abaqus ends a job

namespace {

const double CUTBACK = 0.25;  // PNEWDT where a point fails
const int LIMIT = 25;         // corrections of strains that no component prescribes

[[noreturn]] void stop(const char *format, ...) {
  static std::mutex once;  // never given back: the first thread ends the program
  once.lock();
  va_list rest;
  va_start(rest, format);
  fputs("neml2fe UMAT: ", stderr);
  vfprintf(stderr, format, rest);
  fputs("\n", stderr);
  va_end(rest);
  if (xit_) xit_();
  exit(2);
}

// Materials by CMNAME: in this library, else in that of NEML2FE_LIBRARY; else NEML2FE_MATERIAL.
struct Choice {
  const char *library = getenv("NEML2FE_LIBRARY"), *name = getenv("NEML2FE_MATERIAL");

  static const neml2fe_material *in(const char *library, const char *name) {
    const char *known;
    for (int k = 0; (known = neml2fe_material_name(library, k)); ++k)
      if (!strcasecmp(known, name)) return neml2fe_load(library, known);
    return nullptr;
  }

  const neml2fe_material *find(const char *wanted) const {
    if (const neml2fe_material *m = in(nullptr, wanted)) return m;
    if (!library) return nullptr;
    if (!neml2fe_material_name(library, 0)) stop("NEML2FE_LIBRARY: %s", neml2fe_last_error());
    return in(library, wanted);
  }
};

const neml2fe_material *material(const char *cmname) {
  static const Choice choice;
  static thread_local char wanted[81] = "";  // of the last call of this thread, and what it found
  static thread_local const neml2fe_material *m = nullptr;
  int length = 0;
  while (*cmname == '_') ++cmname;  // CalculiX: ABAQUS_STEEL without ABAQUS
  while (length < 80 && cmname[length] && cmname[length] != ' ') ++length;
  if (m && !strncmp(wanted, cmname, length) && !wanted[length]) return m;
  memcpy(wanted, cmname, length);
  wanted[length] = 0;
  m = choice.find(wanted);
  if (!m && choice.name) m = choice.find(choice.name);
  if (m) return m;
  if (choice.name)
    stop("no material '%s' (NEML2FE_MATERIAL), nor '%s'", choice.name, wanted);
  neml2fe_load(nullptr, wanted);
  const std::string own = neml2fe_last_error();
  if (!choice.library)
    stop("%s; or name a library in NEML2FE_LIBRARY, or a material in NEML2FE_MATERIAL",
         own.c_str());
  neml2fe_load(choice.library, wanted);
  stop("%s; %s; or name a material in NEML2FE_MATERIAL", own.c_str(), neml2fe_last_error());
}

// The components that the host knows, and those whose stress is zero instead.
struct Components {
  int n = 0, place[6], n_free = 0, free[6];

  Components(int ndi, int nshr, int ntens) {
    static const int SHEAR[3] = {5, 4, 3};
    if (ndi < 1 || ndi > 3 || nshr < 0 || nshr > 3 || ntens != ndi + nshr || (ndi == 3 && !nshr))
      stop("NTENS = %d with NDI = %d and NSHR = %d is none of 3D (6), plane strain or "
           "axisymmetric (4), plane stress (3), uniaxial (1)", ntens, ndi, nshr);
    for (int k = 0; k < ndi; ++k) place[n++] = k;
    for (int k = 0; k < nshr; ++k) place[n++] = SHEAR[k];
    if (ndi == 3) return;
    for (int k = 0; k < 6; ++k) {
      bool known = false;
      for (int c = 0; c < n; ++c) known = known || place[c] == k;
      if (!known) free[n_free++] = k;
    }
  }

  // Of a stress in Mandel notation; strains are the other way round.
  double factor(int c) const { return place[c] < 3 ? 1 : ROOT2; }
};

// Solve A x = b in place for m columns, by elimination with partial pivoting.
bool solve(double *A, double *b, int n, int m) {
  for (int k = 0; k < n; ++k) {
    int p = k;
    for (int i = k + 1; i < n; ++i)
      if (std::fabs(A[i * n + k]) > std::fabs(A[p * n + k])) p = i;
    if (!(std::fabs(A[p * n + k]) > 0)) return false;
    for (int j = 0; j < n; ++j) std::swap(A[k * n + j], A[p * n + j]);
    for (int j = 0; j < m; ++j) std::swap(b[k * m + j], b[p * m + j]);
    for (int i = 0; i < n; ++i) {
      if (i == k) continue;
      double f = A[i * n + k] / A[k * n + k];
      for (int j = k; j < n; ++j) A[i * n + j] -= f * A[k * n + j];
      for (int j = 0; j < m; ++j) b[i * m + j] -= f * b[k * m + j];
    }
  }
  for (int k = 0; k < n; ++k)
    for (int j = 0; j < m; ++j) b[k * m + j] /= A[k * n + k];
  return true;
}

// Turn the tensors of a state by the rotation of a step, as Abaqus turns stress and strain.
void rotate(const neml2fe_material *m, const Matrix R, double *state) {
  const neml2fe_variable *v;
  for (int k = 0; (v = neml2fe_variable_at(m, NEML2FE_STATE, k)); ++k) {
    double *x = state + v->offset, *end = x + v->size;
    Matrix a, b;
    if (!strcmp(v->kind, "SR2"))
      for (; x < end; x += 6) from_mandel(x, a), product(R, a, R, b), to_mandel(b, x);
    else if (!strcmp(v->kind, "R2"))
      for (; x < end; x += 9) memcpy(a, x, sizeof a), product(R, a, R, b), memcpy(x, b, sizeof b);
    else if (strcmp(v->kind, "Scalar"))
      stop("the state '%s' of '%s' is a %s, which the rotation DROT of a step with NLGEOM cannot "
           "turn; use a law of the deformation gradient", v->name, m->name, v->kind);
  }
}

// The old value of a variable in the state, if the law has it.
double *old_of(const neml2fe_material *m, neml2fe_role role, double *state) {
  const neml2fe_variable *v, *own = neml2fe_variable_at(m, role, 0);
  for (int k = 0; (v = neml2fe_variable_at(m, NEML2FE_STATE, k)); ++k)
    if (!strcmp(v->name, own->name)) return state + v->offset;
  return nullptr;
}

// What all updates of one call have in common.
struct Point {
  const neml2fe_material *m;
  double time, dt;
  const double *fields, *parameters;
  double *old_state, *state;

  bool update(const double *strain, double *stress, double *tangent) const {
    return neml2fe_update(m, 1, time, dt, strain, fields, parameters, old_state, stress, state,
                          tangent, nullptr, nullptr) == 0;
  }
};

// Strains to stresses; where `c` has free components, the strains there for which the stresses are
// zero. `tangent` and `stress` are those of the components of `c`, as the host wants them.
bool small_strain(const Point &p, const Components &c, double *strain, double *stress,
                  double *tangent) {
  double s[6], T[36];
  for (int k = 0;; ++k) {
    if (!p.update(strain, s, T)) return false;
    double off = 0, size = 0, A[25], b[25];
    for (int i = 0; i < 6; ++i) size += s[i] * s[i];
    for (int i = 0; i < c.n_free; ++i) off += s[c.free[i]] * s[c.free[i]];
    if (off <= 1e-24 * size) break;
    for (int i = 0; i < c.n_free; ++i) {
      b[i] = s[c.free[i]];
      for (int j = 0; j < c.n_free; ++j) A[i * c.n_free + j] = T[6 * c.free[i] + c.free[j]];
    }
    if (!solve(A, b, c.n_free, 1)) return false;
    double step = 0, reach = 0;
    for (int i = 0; i < c.n_free; ++i) strain[c.free[i]] -= b[i], step += b[i] * b[i];
    for (int i = 0; i < 6; ++i) reach += strain[i] * strain[i];
    if (step <= 1e-30 * reach) break;  // as close as round-off lets it come
    if (k == LIMIT) return false;
  }
  double A[25], b[30];  // the change of free strains with the others
  for (int i = 0; i < c.n_free; ++i) {
    for (int j = 0; j < c.n_free; ++j) A[i * c.n_free + j] = T[6 * c.free[i] + c.free[j]];
    for (int j = 0; j < c.n; ++j) b[i * c.n + j] = T[6 * c.free[i] + c.place[j]];
  }
  if (!solve(A, b, c.n_free, c.n)) return false;
  for (int i = 0; i < c.n; ++i) {
    stress[i] = s[c.place[i]] / c.factor(i);
    for (int j = 0; j < c.n; ++j) {
      double t = T[6 * c.place[i] + c.place[j]];
      for (int k = 0; k < c.n_free; ++k) t -= T[6 * c.place[i] + c.free[k]] * b[k * c.n + j];
      tangent[i + c.n * j] = t / (c.factor(i) * c.factor(j));
    }
  }
  return true;
}

// Cauchy stress, and the change of Kirchhoff stress over J along stretchings D without spin, which
// is that of its Jaumann rate.
bool finite_strain(const Point &p, const Components &c, const Matrix F, double *stress,
                   double *tangent) {
  double raw[9], T[81], row[6];
  const double J = determinant(F);
  if (!(J > 0) || !p.update(&F[0][0], raw, T)) return false;
  const char *measure = neml2fe_measure(p.m);
  const bool pk1 = !strcmp(measure, "PK1"), pk2 = !strcmp(measure, "PK2");
  const bool cauchy = !strcmp(measure, "CAUCHY");
  const double scale = cauchy ? 1 : 1 / J;
  const Matrix one = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
  Matrix S, a, b;
  if (pk1)
    memcpy(S, raw, sizeof S);
  else
    from_mandel(raw, S);
  product(pk2 ? F : one, S, pk1 || pk2 ? F : one, a);
  to_mandel(a, row);
  for (int i = 0; i < c.n; ++i) stress[i] = scale * row[c.place[i]] / c.factor(i);
  for (int j = 0; j < c.n; ++j) {
    double unit[6] = {}, change[9] = {};
    Matrix D, dF, dS;
    unit[c.place[j]] = 1 / c.factor(j);  // an engineering shear strain of 1
    from_mandel(unit, D);
    product(D, F, dF);
    const int n = pk1 ? 9 : 6;
    for (int i = 0; i < n; ++i)
      for (int k = 0; k < 9; ++k) change[i] += T[9 * i + k] * (&dF[0][0])[k];
    if (pk1)
      memcpy(dS, change, sizeof dS);
    else
      from_mandel(change, dS);
    product(pk2 ? F : one, dS, pk1 || pk2 ? F : one, a);
    if (pk1 || pk2) {
      product(pk2 ? F : one, S, dF, b);
      for (int k = 0; k < 9; ++k) (&a[0][0])[k] += (&b[0][0])[k];
    }
    if (pk2) {
      product(dF, S, F, b);
      for (int k = 0; k < 9; ++k) (&a[0][0])[k] += (&b[0][0])[k];
    }
    to_mandel(a, row);
    if (cauchy && c.place[j] < 3)  // of J sigma
      for (int i = 0; i < 6; ++i) row[i] += raw[i];
    for (int i = 0; i < c.n; ++i) tangent[i + c.n * j] = scale * row[c.place[i]] / c.factor(i);
  }
  return true;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) void umat_(
    double *STRESS, double *STATEV, double *DDSDDE, double *SSE, double *SPD, double *SCD,
    double *RPL, double *DDSDDT, double *DRPLDE, double *DRPLDT, const double *STRAN,
    const double *DSTRAN, const double *TIME, const double *DTIME, const double *TEMP,
    const double *DTEMP, const double *PREDEF, const double *DPRED, const char *CMNAME,
    const int *NDI, const int *NSHR, const int *NTENS, const int *NSTATV, const double *PROPS,
    const int *NPROPS, const double *COORDS, const double *DROT, double *PNEWDT,
    const double *CELENT, const double *DFGRD0, const double *DFGRD1, const int *NOEL,
    const int *NPT, const int *LAYER, const int *KSPT, const int *KSTEP, const int *KINC) {
  const neml2fe_material *m = material(CMNAME);
  const Components c(*NDI, *NSHR, *NTENS);
  const bool small = !strcmp(neml2fe_measure(m), "small strain");
  if (!small && c.n_free)
    stop("'%s' is a law of the deformation gradient, for 3D, plane strain and axisymmetric "
         "elements (NDI = 3), not for NDI = %d", m->name, *NDI);
  const int n_state = neml2fe_size(m, NEML2FE_STATE), n_known = n_state + c.n_free;
  if (*NSTATV < n_known)
    stop("NSTATV = %d, but '%s' has %d state variables with NTENS = %d: *DEPVAR must say so",
         *NSTATV, m->name, n_known, *NTENS);
  const int n_parameters = neml2fe_size(m, NEML2FE_PARAMETERS);
  const bool given = *NPROPS == n_parameters && n_parameters > 0;
  if (!given && *NPROPS != 0 && !(*NPROPS == 1 && PROPS[0] == 0))
    stop("NPROPS = %d, but '%s' takes its %d parameters, or a single 0 (or nothing) for those of "
         "its deck", *NPROPS, m->name, n_parameters);

  // Room for two states and the fields of a point.
  const int n_fields = neml2fe_size(m, NEML2FE_FIELDS);
  double *old_state = static_cast<double *>(__builtin_alloca((2 * n_state + 1) * sizeof(double)));
  double *fields = static_cast<double *>(__builtin_alloca((n_fields + 1) * sizeof(double)));
  for (int k = 0, next = 0; k < n_fields; ++k) {
    const char *name = neml2fe_variable_at(m, NEML2FE_FIELDS, k)->name;
    if (!strcmp(name, "temperature") || !strcmp(name, "T"))
      fields[k] = *TEMP + *DTEMP;
    else
      fields[k] = PREDEF[next] + DPRED[next], ++next;
  }
  const Point p{m,       TIME[1] + *DTIME,          *DTIME,   fields,
                given ? PROPS : nullptr, old_state, old_state + n_state};
  memcpy(old_state, STATEV, n_state * sizeof(double));
  double *old_stress = old_of(m, NEML2FE_STRESS, old_state);
  double *old_strain = old_of(m, NEML2FE_STRAIN, old_state);

  double stress[6], tangent[36], strain[6] = {};
  // CalculiX goes on with the tangent before it looks at PNEWDT: that of the old strain.
  const auto failed = [&](bool again) {
    for (int i = 0; i < c.n * c.n; ++i) DDSDDE[i] = again ? tangent[i] : 0;
    *PNEWDT = CUTBACK;
  };
  if (small) {
    Matrix R;
    from_fortran(DROT, R);
    bool turned = false;
    for (int i = 0; i < 9; ++i) turned = turned || DROT[i] != (i % 4 == 0);
    if (turned) rotate(m, R, old_state);
    for (int i = 0; i < c.n; ++i) {
      strain[c.place[i]] = (STRAN[i] + DSTRAN[i]) / c.factor(i);
      if (old_strain) old_strain[c.place[i]] = STRAN[i] / c.factor(i);
      if (old_stress) old_stress[c.place[i]] = STRESS[i] * c.factor(i);
    }
    for (int i = 0; i < c.n_free; ++i) strain[c.free[i]] = STATEV[n_state + i];
    if (!small_strain(p, c, strain, stress, tangent)) {
      for (int i = 0; i < c.n; ++i) strain[c.place[i]] = STRAN[i] / c.factor(i);
      for (int i = 0; i < c.n_free; ++i) strain[c.free[i]] = STATEV[n_state + i];
      return failed(small_strain(p, c, strain, stress, tangent));
    }
    for (int i = 0; i < c.n_free; ++i) STATEV[n_state + i] = strain[c.free[i]];
  } else {
    Matrix F, F0;
    from_fortran(DFGRD1, F);
    from_fortran(DFGRD0, F0);
    if (old_strain) memcpy(old_strain, F0, sizeof F0);
    if (!finite_strain(p, c, F, stress, tangent))
      return failed(finite_strain(p, c, F0, stress, tangent));
  }
  memcpy(STATEV, p.state, n_state * sizeof(double));
  memcpy(STRESS, stress, c.n * sizeof(double));
  memcpy(DDSDDE, tangent, c.n * c.n * sizeof(double));
}
