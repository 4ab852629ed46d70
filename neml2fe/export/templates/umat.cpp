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

#include "point.h"

extern "C" void xit_(void) __attribute__((weak));  // how Abaqus ends a job

namespace {

const double CUTBACK = 0.25;    // PNEWDT where a point fails
const double AT_ONCE = 1e-8;  // of the time before: a step that is too short for creep

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

  // CalculiX makes _STEEL of ABAQUS_STEEL: underscores in front are looked at only after the rest.
  static const neml2fe_material *in(const char *library, const char *name) {
    const char *known;
    for (int k = 0; (known = neml2fe_material_name(library, k)); ++k)
      if (!strcasecmp(known, name)) return neml2fe_load(library, known);
    for (int k = 0; (known = neml2fe_material_name(library, k)); ++k)
      if (!strcasecmp(known + strspn(known, "_"), name + strspn(name, "_")))
        return neml2fe_load(library, known);
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
  int length = static_cast<int>(strnlen(cmname, 80));
  while (length && cmname[length - 1] == ' ') --length;
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
  if (*NDI < 1 || *NDI > 3 || *NSHR < 0 || *NSHR > 3 || *NTENS != *NDI + *NSHR ||
      (*NDI == 3 && !*NSHR))
    stop("NTENS = %d with NDI = %d and NSHR = %d is none of 3D (6), plane strain or "
         "axisymmetric (4), plane stress (3), uniaxial (1)", *NTENS, *NDI, *NSHR);
  const Components c(*NDI, *NSHR);
  const bool small = !strcmp(neml2fe_measure(m), "small strain");
  if (!small && *PNEWDT < 0)
    stop("'%s' is a law of the deformation gradient, which gives Cauchy stress; CalculiX wants "
         "another one (PNEWDT = %g at the start says that it calls)", m->name, *PNEWDT);
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
  // Without time, as Abaqus asks for the first stiffness: what the law answers at once.
  const double moment = AT_ONCE * (TIME[1] > 0 ? TIME[1] : 1);
  const double dt = *DTIME != 0 ? *DTIME : moment;
  const Point p{m,         TIME[1] + dt, dt, fields, given ? PROPS : nullptr, old_state,
                old_state + n_state};
  memcpy(old_state, STATEV, n_state * sizeof(double));
  double *old_stress = old_of(m, NEML2FE_STRESS, old_state);
  double *old_strain = old_of(m, NEML2FE_STRAIN, old_state);

  double stress[6], tangent[36], strain[6] = {};
  // CalculiX goes on with the tangent before it looks at PNEWDT: that of the old strain, at once,
  // since over the whole step the law may fail there as well.
  Point start = p;
  start.time = TIME[1] + moment, start.dt = moment;
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
      return failed(small_strain(start, c, strain, stress, tangent));
    }
    for (int i = 0; i < c.n_free; ++i) STATEV[n_state + i] = strain[c.free[i]];
  } else {
    Matrix F, F0;
    from_fortran(DFGRD1, F);
    from_fortran(DFGRD0, F0);
    if (old_strain) memcpy(old_strain, F0, sizeof F0);
    if (!finite_strain(p, c, F, stress, tangent))
      return failed(finite_strain(start, c, F0, stress, tangent));
  }
  memcpy(STATEV, p.state, n_state * sizeof(double));
  memcpy(STRESS, stress, c.n * sizeof(double));
  memcpy(DDSDDE, tangent, c.n * c.n * sizeof(double));
}
