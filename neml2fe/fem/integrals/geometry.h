// W elements at a time, one a lane: their nodes, and the geometry of their quadrature points.
//
// `native.py` writes the tables of the reference element above this. Nothing but the nodes of an
// element is stored: gradients come anew from coordinates. The gradients g[j] of a shape function
// are those along the axes j < D and, in an axisymmetric measure, N / r for j = D.

// f(0), ..., f(n - 1), written out whatever the optimiser thinks of loops.
#define INLINE __attribute__((always_inline))
template <class F, int... k> FN INLINE void each(const F& f, std::integer_sequence<int, k...>) {
  (f(std::integral_constant<int, k>{}), ...);
}
template <int n, class F> FN INLINE void each(const F& f) {
  each(f, std::make_integer_sequence<int, n>{});
}

struct Elements {
  long long n;
  const double* points;  // of nodes
  const void* nodes;     // (n, K), long long if wide, else int
  bool wide;
};

// Elements `first` to `first + lanes`; further lanes repeat the first.
struct Group {
  long long element[W], node[K][W];
  int lanes;

  FN_MEMBER Group(const Elements& all, long long first) {
    lanes = all.n - first < W ? (int)(all.n - first) : W;
    for (int l = 0; l < W; ++l) {
      element[l] = first + (l < lanes ? l : 0);
      for (int a = 0; a < K; ++a) {
        long long i = element[l] * K + a;
        node[a][l] = all.wide ? ((const long long*)all.nodes)[i] : ((const int*)all.nodes)[i];
      }
    }
  }
};

// The numbers of each lane's element in an array with `size` of them for each.
struct Reader {
  const double* at[W];

  FN_MEMBER Reader(const double* data, const Group& group, int size) {
    for (int l = 0; l < W; ++l) at[l] = data + group.element[l] * size;
  }
  template <int... l> V read(int i, std::integer_sequence<int, l...>) const {
    return V{at[l][i]...};
  }
  V operator[](int i) const { return read(i, std::make_integer_sequence<int, W>{}); }
};

FN void at_nodes(const double* values, const Group& group, V (&x)[K][D]) {
  for (int a = 0; a < K; ++a)
    for (int i = 0; i < D; ++i)
      for (int l = 0; l < W; ++l) set_lane(x[a][i], l, values[group.node[a][l] * D + i]);
}

// g[j] is the sum over k of REFERENCE[..][k] inverse[k][j].
struct Geometry {
  V inverse[Q][N][N], volume[Q];

  FN_MEMBER void find(const Elements& all, const Group& group) {
    V x[K][D];
    at_nodes(all.points, group, x);
    for (int q = 0; q < Q; ++q) {
      V j[D][D] = {}, r = {}, c[D][D], det;
      for (int a = 0; a < K; ++a) {
        const double* reference = REFERENCE[q][a];
        each<D * D>([&](auto t) { j[t / D][t % D] += x[a][t / D] * reference[t % D]; });
        if constexpr (AXISYMMETRIC) r += x[a][0] * reference[D];
      }
      if constexpr (D == 2) {
        c[0][0] = j[1][1], c[0][1] = -j[0][1], c[1][0] = -j[1][0], c[1][1] = j[0][0];
        det = j[0][0] * j[1][1] - j[0][1] * j[1][0];
      } else {
        each<9>([&](auto t) {  // cofactors, transposed
          constexpr int k = t / 3, i = t % 3;
          constexpr int i1 = (i + 1) % 3, i2 = (i + 2) % 3, k1 = (k + 1) % 3, k2 = (k + 2) % 3;
          c[k][i] = j[i1][k1] * j[i2][k2] - j[i1][k2] * j[i2][k1];
        });
        det = j[0][0] * c[0][0] + j[0][1] * c[1][0] + j[0][2] * c[2][0];
      }
      V scale = splat(1) / det;
      each<N * N>([&](auto t) { inverse[q][t / N][t % N] = V{}; });
      each<D * D>([&](auto t) { inverse[q][t / D][t % D] = scale * c[t / D][t % D]; });
      volume[q] = det * WEIGHT[q];
      if constexpr (AXISYMMETRIC) {
        inverse[q][D][D] = splat(1) / r;
        volume[q] *= TURN * r;
      }
    }
  }
};
