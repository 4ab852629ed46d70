// Tensors as 3 x 3 matrices and in Mandel notation.

#include <cmath>
#include <cstring>

namespace {

const double ROOT2 = 1.4142135623730951;
const int PLACE[3][3] = {{0, 5, 4}, {5, 1, 3}, {4, 3, 2}};  // of an entry, in Mandel order

typedef double Matrix[3][3];

inline void from_fortran(const double *a, Matrix m) {
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) m[i][j] = a[i + 3 * j];
}

inline void product(const Matrix a, const Matrix b, Matrix c) {
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) c[i][j] = a[i][0] * b[0][j] + a[i][1] * b[1][j] + a[i][2] * b[2][j];
}

// a b c^T
inline void product(const Matrix a, const Matrix b, const Matrix c, Matrix d) {
  Matrix ab, t;
  product(a, b, ab);
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) t[i][j] = c[j][i];
  product(ab, t, d);
}

inline void from_mandel(const double *v, Matrix m) {
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j) m[i][j] = v[PLACE[i][j]] / (i == j ? 1 : ROOT2);
}

inline void to_mandel(const Matrix m, double *v) {
  for (int i = 0; i < 3; ++i)
    for (int j = i; j < 3; ++j) v[PLACE[i][j]] = i == j ? m[i][i] : (m[i][j] + m[j][i]) / ROOT2;
}

inline double determinant(const Matrix m) {
  return m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) -
         m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0]) +
         m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0]);
}

}  // namespace
