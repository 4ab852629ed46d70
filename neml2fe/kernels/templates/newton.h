// Newton's method lane by lane; the same steps and decisions as `neml2fe.implicit.newton`.
//
// A stage S has n unknowns, and functions `given`, `guess`, `hoist` (what does not change during
// the iteration), `residual`, `linearise` (residual and Jacobian), `rate` (Jacobian times vector)
// and `between` (given numbers on the way from their old values).

constexpr int CONVERGED = 0, ITERATION_LIMIT = 1, NOT_FINITE = 2;

constexpr REAL ROUGH = 1e-6;  // of a diagonal entry, left after elimination
// Changes of a solution by refinement, relative to it: enough digits, and not enough of them.
constexpr REAL FINE = sizeof(REAL) == 8 ? 1e-12 : 1e-5, COARSE = sizeof(REAL) == 8 ? 1e-11 : 1e-4;

struct Settings {
  double abs_tol, rel_tol, still, max_its;
  double line_search, strong_wolfe, max_line_search, cutback, decrease;
};

template <int n> FN V dot(const V* x, const V* y) {
  V sum = splat(0);
  for (int i = 0; i < n; ++i) sum += x[i] * y[i];
  return sum;
}

// P A = L U, reciprocals of the pivots on the diagonal. A lane swaps rows where its diagonal is
// less than a tenth of the largest entry below, which bounds the growth as partial pivoting does
// (Duff, Erisman and Reid, Direct Methods for Sparse Matrices, 2017, section 7.4), and is rare.
// Returns the lanes in which a diagonal entry lost most of its digits.
template <int n> FN_LARGE M factorise(V (&A)[n][n], I* pivot) {
  V first[n];
  M rough = first_lanes(0);
  for (int k = 0; k < n; ++k) first[k] = abs_(A[k][k]);
  UNROLL
  for (int k = 0; k < n; ++k) {
    V below = splat(0);
    UNROLL
    for (int i = k + 1; i < n; ++i) below = max_(below, abs_(A[i][k]));
    pivot[k] = I{} + k;
    M small = abs_(A[k][k]) < splat(0.1) * below;
    if (any(small)) {
      for (int i = k + 1; i < n; ++i)
        pivot[k] = (small & (abs_(A[i][k]) == below)) ? I{} + i : pivot[k];
      for (int i = k + 1; i < n; ++i) {
        M swap = pivot[k] == I{} + i;
        for (int j = 0; j < n; ++j) {
          V a = A[k][j], b = A[i][j];
          A[k][j] = swap ? b : a;
          A[i][j] = swap ? a : b;
        }
      }
    }
    rough = rough | (abs_(A[k][k]) < splat(ROUGH) * first[k]);
    V inverse = splat(1) / A[k][k];
    A[k][k] = inverse;
    UNROLL
    for (int i = k + 1; i < n; ++i) {
      V factor = A[i][k] * inverse;
      A[i][k] = factor;
      UNROLL
      for (int j = k + 1; j < n; ++j) A[i][j] -= factor * A[k][j];
    }
  }
  return rough;
}

template <int n> FN void exchange(const I* pivot, int k, V* b) {
  if (!any(pivot[k] != I{} + k)) return;
  for (int i = k + 1; i < n; ++i) {
    M swap = pivot[k] == I{} + i;
    V x = b[k], y = b[i];
    b[k] = swap ? y : x;
    b[i] = swap ? x : y;
  }
}

// b <- A^-1 b
template <int n> FN_LARGE void solve(const V (&LU)[n][n], const I* pivot, V* b) {
  for (int k = 0; k < n; ++k) exchange<n>(pivot, k, b);
  UNROLL
  for (int j = 0; j < n; ++j) {
    V x = b[j];
    UNROLL
    for (int i = j + 1; i < n; ++i) b[i] -= LU[i][j] * x;
  }
  UNROLL
  for (int j = n - 1; j >= 0; --j) {
    V x = b[j] * LU[j][j];
    b[j] = x;
    UNROLL
    for (int i = 0; i < j; ++i) b[i] -= LU[i][j] * x;
  }
}

// b <- A^-T b
template <int n> FN_LARGE void solve_transposed(const V (&LU)[n][n], const I* pivot, V* b) {
  UNROLL
  for (int j = 0; j < n; ++j) {
    V x = b[j] * LU[j][j];
    b[j] = x;
    UNROLL
    for (int i = j + 1; i < n; ++i) b[i] -= LU[j][i] * x;
  }
  UNROLL
  for (int j = n - 1; j > 0; --j) {
    V x = b[j];
    UNROLL
    for (int i = 0; i < j; ++i) b[i] -= LU[j][i] * x;
  }
  for (int k = n - 1; k >= 0; --k) exchange<n>(pivot, k, b);
}

// J = dr/du of a stage with n_d unknowns eliminated (`condensation.py`): the dense matrix A of the m
// that are left, or its factors; `reduce` and `expand` lead there and back.
template <class S> struct Matrix {
  V d[S::n_d + 1], e[S::n_e + 1], f[S::n_f + 1], A[S::m][S::m];
  I pivot[S::m];
};

template <class S> FN void solve(const Matrix<S>& J, V* b) {
  V w[S::m];
  S::reduce(J, b, w);
  solve<S::m>(J.A, J.pivot, w);
  S::expand(J, w, b);
}

template <class S> FN void solve_transposed(const Matrix<S>& J, V* b) {
  V w[S::m];
  S::reduce_transposed(J, b, w);
  solve_transposed<S::m>(J.A, J.pivot, w);
  S::expand_transposed(J, w, b);
}

// x <- x + J^-1 (b - J x): what the elimination of unknowns, chosen before numbers are known, lost
// of the digits comes back (iterative refinement; Higham, Accuracy and Stability of Numerical
// Algorithms, 2002, chapter 12). Returns the lanes where x has
// changed by more than `fine` of it.
template <class S>
FN_LARGE M refine(const V* u, const V* in, const V* h, const Matrix<S>& J, const V* b, V* x,
                  bool transposed, REAL fine) {
  V change[S::n];
  if (transposed)
    S::rate_transposed(u, in, h, x, change);
  else
    S::rate(u, in, h, x, change);
  for (int i = 0; i < S::n; ++i) change[i] = b[i] - change[i];
  if (transposed)
    solve_transposed(J, change);
  else
    solve(J, change);
  M moved = first_lanes(0);
  for (int i = 0; i < S::n; ++i) {
    M good = finite(change[i]);
    moved = moved | no(abs_(change[i]) <= splat(fine) * abs_(x[i]));
    x[i] = good ? x[i] + change[i] : x[i];
  }
  return moved;
}

// J at the solution, factorised, and how well its systems are solved.
template <class S> struct Linearised {
  V h[S::nh + 1];
  Matrix<S> J;
  const V *u, *in;
  bool refined = true;  // until a first solution needs no refinement

  FN_MEMBER void at(const V* inputs, const V* U) {
    V g[S::ng + 1], r[S::n];
    in = inputs;
    u = U + S::first;
    S::given(in, U, g);
    S::hoist(in, g, h);
    S::linearise(u, in, h, r, J);
    factorise<S::m>(J.A, J.pivot);
  }

  // b <- J^-1 b or J^-T b. Returns the lanes where that is not accurate.
  FN_MEMBER M apply(V* b, bool transposed) {
    V x[S::n];
    M wrong = first_lanes(0);
    for (int i = 0; i < S::n; ++i) x[i] = b[i];
    if (transposed)
      solve_transposed(J, x);
    else
      solve(J, x);
    if (S::n_d && refined) {
      refined = any(refine(u, in, h, J, b, x, transposed, FINE));
      if (refined) {
        refine(u, in, h, J, b, x, transposed, FINE);
        wrong = refine(u, in, h, J, b, x, transposed, COARSE);
      }
    }
    for (int i = 0; i < S::n; ++i) b[i] = x[i];
    return wrong;
  }
};

// Lengths of steps by the decrease of |r|^2, as `neml2fe.implicit.line_search`.
template <class S>
FN_LARGE V step_length(const V* in, const V* h, const V* u, const V* step, V size, M waiting,
                       const Settings& s) {
  constexpr int n = S::n;
  V length = splat(1), low = splat(0), high = splat(INF), phi = size * size;
  for (int k = 0; k < s.max_line_search && any(waiting); ++k) {
    V trial[n], r[n], square = splat(0), slope = splat(0);
    for (int i = 0; i < n; ++i) trial[i] = u[i] + length * step[i];
    if (s.strong_wolfe != 0) {
      V change[n];
      S::residual(trial, in, h, r);
      S::rate(trial, in, h, step, change);
      for (int i = 0; i < n; ++i) slope += splat(2) * r[i] * change[i];
    } else {
      S::residual(trial, in, h, r);
    }
    for (int i = 0; i < n; ++i) square += r[i] * r[i];
    V limit = (splat(1) - splat(2 * s.decrease) * length) * phi, steepest = splat(1.8) * phi;
    M too_long = no(square <= limit) | (slope > steepest);
    M too_short = no(too_long) & (slope < -steepest);
    high = (waiting & too_long) ? length : high;
    low = (waiting & too_short) ? length : low;
    waiting = waiting & (too_long | too_short);
    V next = high < splat(INF) ? low + (high - low) / splat(s.cutback) : low * splat(s.cutback);
    length = waiting ? next : length;
  }
  return length;
}

// One run of Newton's method from u in the lanes `todo`; NaN where it fails.
template <class S>
FN_LARGE void attempt(const V* in, const V* h, V* u, M todo, bool search, const Settings& s,
                      I& status, I& iterations) {
  constexpr int n = S::n;
  M active = todo;
  V target = splat(INF);
  status = todo ? I{} + ITERATION_LIMIT : status;
  for (int iteration = 0; iteration <= s.max_its; ++iteration) {
    V r[n];
    Matrix<S> J;
    S::linearise(u, in, h, r, J);
    V size = sqrt_(dot<n>(r, r));
    if (iteration == 0) {
      target = splat(s.rel_tol) * size;
      target = target < splat(s.abs_tol) ? splat(s.abs_tol) : target;
    }
    M rough = active & factorise<S::m>(J.A, J.pivot);
    V b[n];
    for (int i = 0; i < n; ++i) b[i] = r[i];
    solve(J, r);
    if (S::n_d && any(rough)) refine(u, in, h, J, b, r, false, FINE);
    V step = dot<n>(r, r);
    M converged = size <= splat(s.abs_tol), small = no(converged) & (size <= target);
    if (any(active & small)) {
      V reach = sqrt_(dot<n>(u, u)) + splat(s.abs_tol);
      converged = converged | (small & (sqrt_(step) <= splat(s.still) * reach));
    }
    M usable = finite(step);
    M broken = no(converged) & no(usable & finite(size));
    status = (active & broken) ? I{} + NOT_FINITE : status;
    status = (active & converged) ? I{} + CONVERGED : status;
    M going = active & no(converged) & no(broken);
    iterations = going ? iterations + 1 : iterations;
    for (int i = 0; i < n; ++i) r[i] = -r[i];
    if (search && any(going)) {
      V length = step_length<S>(in, h, u, r, size, going, s);
      for (int i = 0; i < n; ++i) r[i] = going ? length * r[i] : r[i];
    }
    M moving = active & usable & no(broken);
    for (int i = 0; i < n; ++i) u[i] = moving ? u[i] + r[i] : u[i];
    active = going;
    if (!any(active)) break;
  }
  M failed = todo & (status != I{} + CONVERGED);
  for (int i = 0; i < n; ++i) u[i] = failed ? splat(NOT_A_NUMBER) : u[i];
}

// Newton's method, and again with a line search where it failed.
template <class S>
FN void newton(const V* in, const V* h, V* u, M todo, const Settings& s, I& status,
               I& iterations) {
  V start[S::n];
  for (int i = 0; i < S::n; ++i) start[i] = u[i];
  attempt<S>(in, h, u, todo, s.line_search != 0, s, status, iterations);
  M failed = todo & (status != I{} + CONVERGED);
  if (s.line_search != 0 || !any(failed)) return;
  for (int i = 0; i < S::n; ++i) u[i] = failed ? start[i] : u[i];
  attempt<S>(in, h, u, failed, true, s, status, iterations);
}

// The unknowns of a stage; where Newton fails, by continuation from the old given variables.
template <class S>
FN_LARGE void find(const V* in, V* U, M live, const Settings& s, I& status, I& iterations) {
  V g[S::ng + 1], h[S::nh + 1], start[S::n];
  V* u = U + S::first;
  I own = I{} + CONVERGED;
  S::given(in, U, g);
  S::guess(in, U, start);
  S::hoist(in, g, h);
  for (int i = 0; i < S::n; ++i) u[i] = start[i];
  newton<S>(in, h, u, live, s, own, iterations);
  M failed = live & (own != I{} + CONVERGED);
  if (S::n_pairs && any(failed)) {
    const REAL fractions[5] = {0.125, 0.25, 0.5, 0.75, 1.0};
    for (int k = 0; k < 5; ++k) {
      V part[S::ng + 1], w[S::n];
      for (int i = 0; i < S::ng; ++i) part[i] = g[i];
      S::between(g, splat(fractions[k]), part);
      S::hoist(in, part, h);
      for (int i = 0; i < S::n; ++i) w[i] = start[i];
      newton<S>(in, h, w, failed, s, own, iterations);
      M good = own == I{} + CONVERGED;
      for (int i = 0; i < S::n; ++i) {
        start[i] = good ? w[i] : start[i];
        u[i] = failed ? w[i] : u[i];
      }
    }
  }
  status = own > status ? own : status;
}
