// Updates of one point in the components of a host: strains that no component prescribes are found,
// and stresses and tangents of the deformation gradient become Cauchy's and Jaumann's.

#include <utility>

#include "library.h"
#include "tensors.h"

namespace {

const int LIMIT = 25;  // corrections of strains that no component prescribes

// The components that the host knows, and those whose stress is zero instead.
struct Components {
  int n = 0, place[6], n_free = 0, free[6];

  Components(int ndi, int nshr) {
    static const int SHEAR[3] = {5, 4, 3};
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
