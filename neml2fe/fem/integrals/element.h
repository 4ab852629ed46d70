// Strains, nodal forces and stiffness of elements of one type.
//
// The strain operator has entries t: component COMPONENT[t] gets SCALE times direction DIRECTION[t]
// of u times gradient GRADIENT[t]. Stresses and tangents are scaled when they are read, so that the
// operator itself is one of zeros and ones.

FN V trace(const V* e) {
  V sum = {};
  each<C>([&](auto c) {
    if constexpr (NORMAL[c]) sum += e[c];
  });
  return sum;
}

// The volumetric part becomes its mean over the element; for stresses this is the adjoint as well.
FN void mean_dilatation(const Geometry& at, V (&e)[Q][C]) {
  V sum = {}, total = {};
  for (int q = 0; q < Q; ++q) {
    sum += at.volume[q] * trace(e[q]);
    total += at.volume[q];
  }
  V mean = sum / total;
  for (int q = 0; q < Q; ++q) {
    V change = (mean - trace(e[q])) * THIRD;
    each<C>([&](auto c) {
      if constexpr (NORMAL[c]) e[q][c] += change;
    });
  }
}

struct Points {
  Geometry at;
  V values[Q][C];
};

extern "C" void neml2fe_volumes(long long n, const double* points, const void* nodes, int wide,
                                double* volumes) {
  Elements all = {n, points, nodes, wide != 0};
  std::unique_ptr<Geometry> at(new Geometry);
  for (long long first = 0; first < n; first += W) {
    Group group(all, first);
    at->find(all, group);
    for (int l = 0; l < group.lanes; ++l)
      for (int q = 0; q < Q; ++q) volumes[group.element[l] * Q + q] = lane(at->volume[q], l);
  }
}

// `origin` times the strain without displacements, and what `u` adds.
extern "C" void neml2fe_strain(long long n, const double* points, const void* nodes, int wide,
                               const double* u, double* strain, double origin) {
  Elements all = {n, points, nodes, wide != 0};
  std::unique_ptr<Points> of(new Points);
  for (long long first = 0; first < n; first += W) {
    Group group(all, first);
    V v[K][D];
    of->at.find(all, group);
    at_nodes(u, group, v);
    for (int q = 0; q < Q; ++q) {
      V reference[D][N] = {}, h[D][N] = {}, e[C] = {};
      for (int a = 0; a < K; ++a)
        each<D * N>([&](auto t) {
          reference[t / N][t % N] += v[a][t / N] * REFERENCE[q][a][t % N];
        });
      each<D * N * N>([&](auto t) {
        constexpr int i = t / (N * N), j = t / N % N, k = t % N;
        h[i][j] += reference[i][k] * of->at.inverse[q][k][j];
      });
      each<ENTRIES>([&](auto t) { e[COMPONENT[t]] += h[DIRECTION[t]][GRADIENT[t]]; });
      each<C>([&](auto c) { of->values[q][c] = SCALE[c] * e[c]; });
    }
    if constexpr (MEAN_DILATATION) mean_dilatation(of->at, of->values);
    for (int l = 0; l < group.lanes; ++l) {
      double* to = strain + group.element[l] * (Q * SIZE);
      for (int q = 0; q < Q; ++q, to += SIZE) {
        for (int c = 0; c < SIZE; ++c) to[c] = origin * START[c];
        for (int c = 0; c < C; ++c) to[ACTIVE[c]] += lane(of->values[q][c], l);
      }
    }
  }
}

extern "C" void neml2fe_forces(long long n, const double* points, const void* nodes, int wide,
                               const double* stress, double* forces) {
  Elements all = {n, points, nodes, wide != 0};
  std::unique_ptr<Points> of(new Points);
  for (long long first = 0; first < n; first += W) {
    Group group(all, first);
    Reader given(stress, group, Q * SIZE);
    V f[K][D] = {};
    of->at.find(all, group);
    for (int q = 0; q < Q; ++q)
      each<C>([&](auto c) { of->values[q][c] = given[q * SIZE + ACTIVE[c]]; });
    if constexpr (MEAN_DILATATION) mean_dilatation(of->at, of->values);
    for (int q = 0; q < Q; ++q) {
      V s[C], h[D][N] = {}, reference[D][N] = {};
      each<C>([&](auto c) { s[c] = of->values[q][c] * (of->at.volume[q] * SCALE[c]); });
      each<ENTRIES>([&](auto t) { h[DIRECTION[t]][GRADIENT[t]] += s[COMPONENT[t]]; });
      each<D * N * N>([&](auto t) {
        constexpr int i = t / (N * N), j = t / N % N, k = t % N;
        reference[i][k] += h[i][j] * of->at.inverse[q][k][j];
      });
      for (int a = 0; a < K; ++a)
        each<D * N>([&](auto t) {
          f[a][t / N] += reference[t / N][t % N] * REFERENCE[q][a][t % N];
        });
    }
    for (int l = 0; l < group.lanes; ++l)
      for (int a = 0; a < K; ++a)
        for (int i = 0; i < D; ++i) forces[group.node[a][l] * D + i] += lane(f[a][i], l);
  }
}

// What the stiffness of W elements takes. With the mean dilatation the operator is G + m d^T, where
// m marks the NORMAL components and d = (mean of tr - tr) / 3 with the trace tr of G.
struct Stiffness {
  Geometry at;
  V g[K][Q][N], mean[K][D];        // gradients; a third of the mean of tr
  V tangent[Q][C][C], bulk[Q][C];  // C dV, m^T C dV
  V left[Q][D][C];                 // operator^T C dV of one node

  FN_MEMBER void prepare(const Elements& all, const Group& group, const double* tangents) {
    at.find(all, group);
    for (int a = 0; a < K; ++a)
      for (int q = 0; q < Q; ++q) {
        const double* reference = REFERENCE[q][a];
        each<N>([&](auto j) {
          g[a][q][j] = V{};
          each<N>([&](auto k) { g[a][q][j] += reference[k] * at.inverse[q][k][j]; });
        });
      }
    Reader given(tangents, group, Q * SIZE * SIZE);
    for (int q = 0; q < Q; ++q)
      each<C * C>([&](auto t) {
        constexpr int c = t / C, d = t % C;
        V value = given[(q * SIZE + ACTIVE[c]) * SIZE + ACTIVE[d]];
        tangent[q][c][d] = value * (at.volume[q] * (SCALE[c] * SCALE[d]));
      });
    if constexpr (MEAN_DILATATION) find_means();
  }

  FN_MEMBER void find_means() {
    V total = {};
    for (int q = 0; q < Q; ++q) {
      total += at.volume[q];
      each<C>([&](auto d) {
        bulk[q][d] = V{};
        each<C>([&](auto c) {
          if constexpr (NORMAL[c]) bulk[q][d] += tangent[q][c][d];
        });
      });
    }
    for (int a = 0; a < K; ++a) {
      V sum[D] = {};
      for (int q = 0; q < Q; ++q) {
        V tr[D] = {};
        trace_of_operator(g[a][q], tr);
        each<D>([&](auto i) { sum[i] += at.volume[q] * tr[i]; });
      }
      each<D>([&](auto i) { mean[a][i] = sum[i] / total * THIRD; });
    }
  }

  static inline void trace_of_operator(const V* gradient, V (&tr)[D]) {
    each<ENTRIES>([&](auto t) {
      if constexpr (NORMAL[COMPONENT[t]]) tr[DIRECTION[t]] += gradient[GRADIENT[t]];
    });
  }

  // `left` of node a. What m d_b^T adds on its right is taken here, once for all b: -m tr / 3
  // leaves the deviatoric part of `left`; the mean is the same at all points, so that it multiplies
  // the sum of their traces, `total`.
  FN_MEMBER void row(int a, V (&total)[D]) {
    for (int q = 0; q < Q; ++q) {
      V x[D][C] = {};
      each<ENTRIES * C>([&](auto s) {
        constexpr int t = s / C, c = s % C;
        x[DIRECTION[t]][c] += g[a][q][GRADIENT[t]] * tangent[q][COMPONENT[t]][c];
      });
      if constexpr (MEAN_DILATATION) {
        V tr[D] = {};
        trace_of_operator(g[a][q], tr);
        each<D>([&](auto i) {
          V d = mean[a][i] - tr[i] * THIRD;
          each<C>([&](auto c) { x[i][c] += d * bulk[q][c]; });
          V sum = trace(x[i]);
          total[i] += sum;
          each<C>([&](auto c) {
            if constexpr (NORMAL[c]) x[i][c] -= sum * THIRD;
          });
        });
      }
      each<D * C>([&](auto t) { left[q][t / C][t % C] = x[t / C][t % C]; });
    }
  }

  // Block (a, b) of the element matrices for the node a of `left`, lane by lane.
  FN_MEMBER void block(int b, const V (&total)[D], double (&k)[D * D][W]) {
    V x[D * D] = {};
    if constexpr (MEAN_DILATATION)
      each<D * D>([&](auto t) { x[t] = total[t / D] * mean[b][t % D]; });
    for (int q = 0; q < Q; ++q)
      each<ENTRIES * D>([&](auto s) {
        constexpr int t = s / D, i = s % D;
        x[i * D + DIRECTION[t]] += left[q][i][COMPONENT[t]] * g[b][q][GRADIENT[t]];
      });
    each<D * D>([&](auto t) { __builtin_memcpy(k[t], &x[t], sizeof(V)); });
  }
};

// `values` in the order of `LocalMatrix`: D rows a node, of one block after the other.
extern "C" void neml2fe_stiffness(long long n, const double* points, const void* nodes, int wide,
                                  const double* tangents, const int* slots,
                                  const long long* indptr, double* values) {
  Elements all = {n, points, nodes, wide != 0};
  std::unique_ptr<Stiffness> of(new Stiffness);
  for (long long first = 0; first < n; first += W) {
    Group group(all, first);
    of->prepare(all, group, tangents);
    for (int a = 0; a < K; ++a) {
      double* row[W];  // block number s is at row + D s, its lines `width` apart
      long long width[W];
      for (int l = 0; l < group.lanes; ++l) {
        const long long* start = indptr + group.node[a][l];
        row[l] = values + (D * D - D) * start[0];
        width[l] = D * (start[1] - start[0]);
      }
      V total[D] = {};
      of->row(a, total);
      for (int b = 0; b < K; ++b) {
        double k[D * D][W];
        of->block(b, total, k);
        for (int l = 0; l < group.lanes; ++l) {
          double* to = row[l] + (long long)D * slots[(group.element[l] * K + a) * K + b];
          each<D * D>([&](auto t) { to[t / D * width[l] + t % D] += k[t][l]; });
        }
      }
    }
  }
}

}  // namespace neml2fe
