// The logarithmic strain E = ln(F^T F) / 2 of a small-strain law, and the first Piola-Kirchhoff
// stress, with its tangent, of the stress T that is conjugate to E (C. Miehe, N. Apel and
// M. Lambrecht, CMAME 191 (2002) 5383): the formulas of neml2fe/material/logarithm.py.

#include <utility>

#include "tensors.h"

namespace {

// (ln a - ln b) / (a - b)
inline double divided(double a, double b) {
  double x = (a - b) / (a + b);
  return 2 / (a + b) * (x != 0 ? std::atanh(x) / x : 1);
}

// The second divided difference of ascending values; by quadrature where they are close.
inline double divided(double a, double b, double c) {
  static const double NODE[8] = {0.01985507175123188, 0.10166676129318664, 0.2372337950418355,
                                 0.40828267875217511, 0.59171732124782489, 0.7627662049581645,
                                 0.89833323870681336, 0.98014492824876812};
  static const double WEIGHT[8] = {0.050614268145188130, 0.11119051722668724, 0.15685332293894363,
                                   0.18134189168918100,  0.18134189168918100, 0.15685332293894363,
                                   0.11119051722668724,  0.050614268145188130};
  if (c >= 2 * a) return (divided(b, c) - divided(a, b)) / (c - a);
  const double m = 0.5 * (a + c);
  double sum = 0;
  for (int k = 0; k < 8; ++k) {
    const double t = NODE[k];
    sum -= WEIGHT[k] * t /
           ((1 + t * (a / m - 1)) * (1 + t * (b / m - 1)) * (1 + t * (c / m - 1)));
  }
  return sum / (m * m);
}

// Ascending eigenvalues and, as columns, eigenvectors of a symmetric matrix, by Jacobi's rotations.
inline void principal(Matrix a, double *values, Matrix axes) {
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) axes[i][j] = i == j;
  for (int sweep = 0; sweep < 30; ++sweep) {
    const double off = a[0][1] * a[0][1] + a[0][2] * a[0][2] + a[1][2] * a[1][2];
    if (!(off > 1e-40 * (a[0][0] * a[0][0] + a[1][1] * a[1][1] + a[2][2] * a[2][2]))) break;
    for (int p = 0; p < 2; ++p)
      for (int q = p + 1; q < 3; ++q) {
        if (a[p][q] == 0) continue;
        const double theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
        const double t =
            (theta < 0 ? -1 : 1) / (std::fabs(theta) + std::sqrt(theta * theta + 1));
        const double c = 1 / std::sqrt(t * t + 1), s = t * c;
        for (int k = 0; k < 3; ++k) {
          const double x = a[k][p], y = a[k][q];
          a[k][p] = c * x - s * y, a[k][q] = s * x + c * y;
        }
        for (int k = 0; k < 3; ++k) {
          const double x = a[p][k], y = a[q][k];
          a[p][k] = c * x - s * y, a[q][k] = s * x + c * y;
          const double u = axes[k][p], v = axes[k][q];
          axes[k][p] = c * u - s * v, axes[k][q] = s * u + c * v;
        }
      }
  }
  for (int i = 0; i < 3; ++i) values[i] = a[i][i];
  for (int n = 0; n < 3; ++n) {  // ascending
    const int p = n == 1 ? 1 : 0;
    if (values[p] <= values[p + 1]) continue;
    std::swap(values[p], values[p + 1]);
    for (int k = 0; k < 3; ++k) std::swap(axes[k][p], axes[k][p + 1]);
  }
}

// The logarithm of C = F^T F, and its derivatives.
class Logarithm {
 public:
  double strain[6];
  bool regular;

  explicit Logarithm(const double *f) {
    memcpy(F, f, sizeof F);
    Matrix c, one = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}, log = {};
    for (int i = 0; i < 3; ++i)
      for (int j = 0; j < 3; ++j)
        c[i][j] = F[0][i] * F[0][j] + F[1][i] * F[1][j] + F[2][i] * F[2][j];
    regular = determinant(F) > 0 && std::isfinite(c[0][0] + c[1][1] + c[2][2]);
    if (!regular) memcpy(c, one, sizeof c);
    principal(c, value, axes);
    for (int i = 0; i < 3; ++i)
      for (int j = 0; j < 3; ++j)
        for (int k = 0; k < 3; ++k) log[i][j] += axes[i][k] * axes[j][k] * std::log(value[k]) / 2;
    to_mandel(log, strain);
    for (int i = 0; i < 3; ++i)  // Mandel components out of the principal axes
      for (int j = i; j < 3; ++j) {
        double unit[6] = {}, column[6];
        Matrix h, turned;
        unit[PLACE[i][j]] = 1;
        from_mandel(unit, h);
        product(axes, h, axes, turned);
        to_mandel(turned, column);
        for (int k = 0; k < 6; ++k) turn[k][PLACE[i][j]] = column[k];
      }
    double first[6];
    for (int i = 0; i < 3; ++i)
      for (int j = i; j < 3; ++j) first[PLACE[i][j]] = divided(value[i], value[j]);
    congruent(first, slope);
  }

  // `tangent` is dT/dE, or null where the tangent is not wanted.
  void first_piola(const double *T, const double *tangent, double *P, double *dP) const {
    double s[6] = {};
    for (int i = 0; i < 6; ++i)
      for (int j = 0; j < 6; ++j) s[i] += slope[i][j] * T[j];
    Matrix S, PF;
    from_mandel(s, S);
    product(F, S, PF);
    memcpy(P, PF, sizeof PF);
    if (!tangent) return;
    double by_c[6][6], half[6][6] = {};
    curvature(T, by_c);
    for (int i = 0; i < 6; ++i)
      for (int j = 0; j < 6; ++j)
        for (int k = 0; k < 6; ++k) half[i][j] += tangent[6 * i + k] * slope[k][j] / 2;
    for (int i = 0; i < 6; ++i)
      for (int j = 0; j < 6; ++j)
        for (int k = 0; k < 6; ++k) by_c[i][j] += slope[i][k] * half[k][j];
    for (int k = 0; k < 3; ++k)
      for (int l = 0; l < 3; ++l) {  // F changes by one in its entry kl
        double c[6], ds[6] = {};
        Matrix dC = {}, dS, change;
        for (int j = 0; j < 3; ++j) dC[l][j] += F[k][j], dC[j][l] += F[k][j];
        to_mandel(dC, c);
        for (int i = 0; i < 6; ++i)
          for (int j = 0; j < 6; ++j) ds[i] += by_c[i][j] * c[j];
        from_mandel(ds, dS);
        product(F, dS, change);
        for (int j = 0; j < 3; ++j) change[k][j] += S[l][j];
        for (int i = 0; i < 9; ++i) dP[9 * i + 3 * k + l] = (&change[0][0])[i];
      }
  }

 private:
  Matrix F, axes;
  double value[3], turn[6][6], slope[6][6];

  // turn diag(d) turn^T
  void congruent(const double *d, double (*to)[6]) const {
    for (int i = 0; i < 6; ++i)
      for (int j = 0; j < 6; ++j) {
        to[i][j] = 0;
        for (int k = 0; k < 6; ++k) to[i][j] += turn[i][k] * d[k] * turn[j][k];
      }
  }

  // The derivative of `slope T` by C.
  void curvature(const double *T, double (*to)[6]) const {
    double own[6] = {}, form[6][6] = {}, half[6][6] = {};
    double second[7][13];  // by two sums that tell the ten triples apart
    for (int i = 0; i < 3; ++i)
      for (int j = i; j < 3; ++j)
        for (int k = j; k < 3; ++k)
          second[i + j + k][i * j + i * k + j * k] = divided(value[i], value[j], value[k]);
    Matrix t;
    for (int i = 0; i < 6; ++i)
      for (int j = 0; j < 6; ++j) own[i] += turn[j][i] * T[j];
    from_mandel(own, t);
    for (int i = 0; i < 3; ++i)
      for (int j = 0; j < 3; ++j)
        for (int k = 0; k < 3; ++k) {
          const double scale = (i == k ? 1 : 1 / ROOT2) * (k == j ? 1 : 1 / ROOT2);
          form[PLACE[i][k]][PLACE[k][j]] +=
              2 * scale * second[i + j + k][i * j + i * k + j * k] * t[i][j];
        }
    for (int i = 0; i < 6; ++i)
      for (int j = 0; j < 6; ++j)
        for (int k = 0; k < 6; ++k) half[i][j] += turn[i][k] * form[k][j];
    for (int i = 0; i < 6; ++i)
      for (int j = 0; j < 6; ++j) {
        to[i][j] = 0;
        for (int k = 0; k < 6; ++k) to[i][j] += half[i][k] * turn[j][k];
      }
  }
};

}  // namespace
