// What a finite-element code needs around neml2fe.h, in one file: a material with its points
// (`Points`), a quadrature loop, Newton's method, and steps that are cut back.
//
//     neml2fe compile ../../examples/steel.i --library steel.so
//     g++ -std=c++17 -O2 shim.cpp -o shim ./steel.so
//     ./shim viscoplasticity
//
// A cube of one element, eight nodes and eight points, is stretched by 2 % in one second. Each step
// prints its time and length, strain and stress of the first point.

#include <array>
#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <utility>
#include <vector>

#include "neml2fe.h"

// A small-strain material and the state of n points: what a host keeps for each of its bodies.
class Points {
 public:
  std::vector<double> strain, stress, tangent;  // rows of 6, 6 and 36: Mandel notation

  Points(const char *library, const char *name, long n)
      : strain(6 * n), stress(6 * n), tangent(36 * n), n_(n), law_(neml2fe_load(library, name)) {
    if (!law_) throw std::runtime_error(neml2fe_last_error());
    if (neml2fe_size(law_, NEML2FE_STRAIN) != 6 || neml2fe_size(law_, NEML2FE_FIELDS))
      throw std::runtime_error("this host has small strains, and no fields");
    old_.resize(n * neml2fe_size(law_, NEML2FE_STATE) + 1);  // data() of none may be null
    new_ = old_;
    neml2fe_initial_state(law_, n, old_.data());
  }

  // Stresses and tangents of the strains; false where a point fails and the step is to be cut.
  bool update(double time, double dt) {
    const long failed =
        neml2fe_update(law_, n_, time, dt, strain.data(), nullptr, nullptr, old_.data(),
                       stress.data(), new_.data(), tangent.data(), nullptr, nullptr);
    if (failed < 0) throw std::runtime_error(neml2fe_last_error());
    return failed == 0;
  }

  void accept() { std::swap(old_, new_); }  // at the end of a step that converged

 private:
  long n_;
  const neml2fe_material *law_;
  std::vector<double> old_, new_;
};

const int NODES = 8, DOFS = 24;
using Gradients = std::array<std::array<double, 3>, NODES>;

// Gradients of the shape functions of the unit cube at a Gauss point.
Gradients gradients(int point) {
  Gradients g;
  double x[3];
  for (int i = 0; i < 3; ++i) x[i] = 0.5 + ((point >> i & 1) - 0.5) / std::sqrt(3.0);
  for (int a = 0; a < NODES; ++a)
    for (int i = 0; i < 3; ++i) {
      g[a][i] = (a >> i & 1) ? 1 : -1;
      for (int j = 0; j < 3; ++j)
        if (j != i) g[a][i] *= (a >> j & 1) ? x[j] : 1 - x[j];
    }
  return g;
}

// B of a node: strains in Mandel notation (11, 22, 33, 23, 13, 12) by its displacements. Shear rows
// are those of engineering strain over sqrt(2).
void strain_matrix(const std::array<double, 3> &g, double (&B)[6][3]) {
  const double r = std::sqrt(0.5);
  const double rows[6][3] = {{g[0], 0, 0}, {0, g[1], 0}, {0, 0, g[2]}, {0, r * g[2], r * g[1]},
                             {r * g[2], 0, r * g[0]}, {r * g[1], r * g[0], 0}};
  for (int i = 0; i < 6; ++i)
    for (int j = 0; j < 3; ++j) B[i][j] = rows[i][j];
}

// Residual and tangent of the element; false where a point fails.
bool assemble(Points &points, const std::vector<double> &u, double time, double dt,
              std::vector<double> &r, std::vector<double> &K) {
  double B[6][3], C[6][3];
  for (int q = 0; q < 8; ++q) {  // all strains first, for one call with all points
    const Gradients g = gradients(q);
    for (int i = 0; i < 6; ++i) points.strain[6 * q + i] = 0;
    for (int a = 0; a < NODES; ++a) {
      strain_matrix(g[a], B);
      for (int i = 0; i < 6; ++i)
        for (int j = 0; j < 3; ++j) points.strain[6 * q + i] += B[i][j] * u[3 * a + j];
    }
  }
  if (!points.update(time, dt)) return false;
  r.assign(DOFS, 0), K.assign(DOFS * DOFS, 0);
  for (int q = 0; q < 8; ++q) {
    const Gradients g = gradients(q);
    const double *s = &points.stress[6 * q], *T = &points.tangent[36 * q], weight = 1.0 / 8;
    for (int a = 0; a < NODES; ++a) {
      strain_matrix(g[a], B);
      for (int i = 0; i < 6; ++i)
        for (int j = 0; j < 3; ++j) r[3 * a + j] += weight * B[i][j] * s[i];
      for (int b = 0; b < NODES; ++b) {
        strain_matrix(g[b], C);
        for (int i = 0; i < 6; ++i)
          for (int j = 0; j < 6; ++j)
            for (int k = 0; k < 3; ++k)
              for (int l = 0; l < 3; ++l)
                K[DOFS * (3 * a + k) + 3 * b + l] += weight * B[i][k] * T[6 * i + j] * C[j][l];
      }
    }
  }
  return true;
}

// Symmetry planes at 0, and the face x = 1 that is moved; other displacements are free.
bool held(int dof) { return !(dof / 3 >> dof % 3 & 1) || dof % 3 == 0; }

// K du = -r for the free displacements, by elimination.
void correct(std::vector<double> K, std::vector<double> r, std::vector<double> &u) {
  for (int k = 0; k < DOFS; ++k) {
    if (held(k)) continue;
    for (int i = 0; i < DOFS; ++i) {
      if (held(i) || i == k) continue;
      const double f = K[DOFS * i + k] / K[DOFS * k + k];
      for (int j = 0; j < DOFS; ++j) K[DOFS * i + j] -= f * K[DOFS * k + j];
      r[i] -= f * r[k];
    }
  }
  for (int k = 0; k < DOFS; ++k)
    if (!held(k)) u[k] -= r[k] / K[DOFS * k + k];
}

int main(int argc, char **argv) try {
  Points points(nullptr, argc > 1 ? argv[1] : nullptr, 8);  // of the library that is linked
  std::vector<double> u(DOFS), r, K;
  double time = 0, dt = 0.125;
  while (time < 1 - 1e-9) {
    std::vector<double> next = u;
    bool converged = false;
    for (int a = 0; a < NODES; ++a)
      if (a & 1) next[3 * a] = 0.02 * (time + dt);
    for (int k = 0; k < 15 && !converged; ++k) {
      if (!assemble(points, next, time + dt, dt, r, K)) break;
      double free = 0, all = 0;
      for (int i = 0; i < DOFS; ++i) {
        all = std::fmax(all, std::fabs(r[i]));
        if (!held(i)) free = std::fmax(free, std::fabs(r[i]));
      }
      converged = free <= 1e-10 * all;
      if (!converged) correct(K, r, next);
    }
    if (!converged) {
      if ((dt /= 4) < 1e-6) throw std::runtime_error("the smallest step fails");
      continue;
    }
    points.accept();
    u = next, time += dt;
    std::printf("%.17g %.17g", time, dt);
    for (int i = 0; i < 6; ++i) std::printf(" %.17g", points.strain[i]);
    for (int i = 0; i < 6; ++i) std::printf(" %.17g", points.stress[i]);
    std::printf("\n");
  }
  return 0;
} catch (const std::exception &error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 2;
}
