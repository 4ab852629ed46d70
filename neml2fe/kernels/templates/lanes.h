// The number type V of a kernel and what can be done with it.
//
// On a CPU, V is a SIMD vector: each lane is one point. On a GPU it is a plain number: each
// thread is one point. M is a condition for each lane, I a whole number for each lane; `m ? a : b`
// chooses lane by lane in both cases. REAL is double or float.

#ifdef __CUDACC__
#pragma nv_diag_suppress 177  // not every law uses all of what is declared
#define FN __device__ static
#define FN_LARGE __device__ static __noinline__
#define FN_MEMBER __device__
#define TABLE __device__ constexpr
#else
#include <cmath>
#include <vector>
#define FN static inline
#define FN_LARGE static __attribute__((noinline))
#define FN_MEMBER inline
#define TABLE constexpr
#endif
#ifdef __clang__
#define UNROLL _Pragma("unroll 8")
#elif defined(__CUDACC__)
#define UNROLL
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

// CUDA has an `any` and a `finite` of its own. `drive.h` closes this.
namespace neml2fe {

#if defined(__CUDACC__) || defined(NEML2FE_SCALAR)
typedef REAL V;
typedef bool M;
typedef long long I;
constexpr int W = 1;
FN bool any(M m) { return m; }
FN M no(M m) { return !m; }
FN V abs_(V x) { return x < 0 ? -x : x; }
FN REAL lane(V x, int) { return x; }
FN I lane(I x, int) { return x; }
FN void set_lane(V& x, int, REAL value) { x = value; }
FN M first_lanes(int count) { return count > 0; }
#define EACH_LANE(name)                                                                           \
  FN V name##_(V x) { return name(x); }
#define EACH_LANE_OF_TWO(name)                                                                    \
  FN V name##_(V x, V y) { return name(x, y); }
EACH_LANE(exp) EACH_LANE(log) EACH_LANE(sin) EACH_LANE(cos) EACH_LANE_OF_TWO(pow)
EACH_LANE(sqrt) EACH_LANE(floor) EACH_LANE(ceil)
#else
constexpr int W = 64 / sizeof(REAL);
typedef REAL V __attribute__((vector_size(64)));
#ifdef SINGLE
typedef int I __attribute__((vector_size(64)));
#else
typedef long long I __attribute__((vector_size(64)));
#endif
typedef I M;
FN bool any(M m) {
#if defined(__AVX512DQ__) && !defined(__clang__) && !defined(SINGLE)
  return __builtin_ia32_cvtq2mask512(m) != 0;
#endif
  typedef long long L __attribute__((vector_size(64)));
  L x = (L)m;
  return (x[0] | x[1] | x[2] | x[3] | x[4] | x[5] | x[6] | x[7]) != 0;
}
FN M no(M m) { return ~m; }
#ifdef SINGLE
FN V abs_(V x) { return (V)((I)x & 0x7fffffff); }
#else
FN V abs_(V x) { return (V)((I)x & 0x7fffffffffffffffLL); }
#endif
FN REAL lane(V x, int k) { return x[k]; }
FN long long lane(I x, int k) { return x[k]; }
FN void set_lane(V& x, int k, REAL value) { x[k] = value; }
FN M first_lanes(int count) {
  M m;
  for (int k = 0; k < W; ++k) m[k] = k < count ? -1 : 0;
  return m;
}
#define EACH_LANE(name)                                                                           \
  FN V name##_(V x) {                                                                             \
    V y;                                                                                          \
    for (int k = 0; k < W; ++k) y[k] = std::name(x[k]);                                           \
    return y;                                                                                     \
  }
#define EACH_LANE_OF_TWO(name)                                                                    \
  FN V name##_(V x, V y) {                                                                        \
    V z;                                                                                          \
    for (int k = 0; k < W; ++k) z[k] = std::name(x[k], y[k]);                                     \
    return z;                                                                                     \
  }
// glibc's vector library where it is there: within 4 units in the last place.
#if defined(NEML2FE_LIBMVEC) && (defined(__AVX512F__) || defined(__AVX2__))
#ifdef __AVX512F__
#ifdef SINGLE
#define VECTOR_NAME(name, a) _ZGVeN16##a##_##name##f
#else
#define VECTOR_NAME(name, a) _ZGVeN8##a##_##name
#endif
#define VECTOR(name)                                                                              \
  extern "C" V VECTOR_NAME(name, v)(V);                                                           \
  FN V name##_(V x) { return VECTOR_NAME(name, v)(x); }
#define VECTOR_OF_TWO(name)                                                                       \
  extern "C" V VECTOR_NAME(name, vv)(V, V);                                                       \
  FN V name##_(V x, V y) { return VECTOR_NAME(name, vv)(x, y); }
#else
typedef REAL Half __attribute__((vector_size(32)));
#ifdef SINGLE
#define VECTOR_NAME(name, a) _ZGVdN8##a##_##name##f
#else
#define VECTOR_NAME(name, a) _ZGVdN4##a##_##name
#endif
union Halves {
  V whole;
  Half half[2];
};
#define VECTOR(name)                                                                              \
  extern "C" Half VECTOR_NAME(name, v)(Half);                                                     \
  FN V name##_(V x) {                                                                             \
    Halves a = {x}, y;                                                                            \
    for (int k = 0; k < 2; ++k) y.half[k] = VECTOR_NAME(name, v)(a.half[k]);                      \
    return y.whole;                                                                               \
  }
#define VECTOR_OF_TWO(name)                                                                       \
  extern "C" Half VECTOR_NAME(name, vv)(Half, Half);                                              \
  FN V name##_(V x, V y) {                                                                        \
    Halves a = {x}, b = {y}, z;                                                                   \
    for (int k = 0; k < 2; ++k) z.half[k] = VECTOR_NAME(name, vv)(a.half[k], b.half[k]);          \
    return z.whole;                                                                               \
  }
#endif
VECTOR(exp) VECTOR(log) VECTOR(sin) VECTOR(cos) VECTOR_OF_TWO(pow)
#else
EACH_LANE(exp) EACH_LANE(log) EACH_LANE(sin) EACH_LANE(cos) EACH_LANE_OF_TWO(pow)
#endif
EACH_LANE(sqrt) EACH_LANE(floor) EACH_LANE(ceil)
#endif

EACH_LANE(tan) EACH_LANE(asin) EACH_LANE(acos) EACH_LANE(atan) EACH_LANE_OF_TWO(atan2)
EACH_LANE(sinh) EACH_LANE(cosh) EACH_LANE(tanh) EACH_LANE(asinh) EACH_LANE(acosh)
EACH_LANE(atanh) EACH_LANE(expm1) EACH_LANE(log1p) EACH_LANE(erf) EACH_LANE_OF_TWO(fmod)

#ifdef __CUDACC__
#define INF ((REAL)__longlong_as_double(0x7ff0000000000000LL))
#define NOT_A_NUMBER ((REAL)__longlong_as_double(0x7ff8000000000000LL))
#else
constexpr REAL INF = (REAL)__builtin_huge_val();
constexpr REAL NOT_A_NUMBER = (REAL)__builtin_nan("");
#endif

FN V splat(REAL x) { return V{} + x; }
FN V number(M m) { return m ? splat(1) : splat(0); }
FN V sign_(V x) { return x < splat(0) ? splat(-1) : (x > splat(0) ? splat(1) : x); }
FN V max_(V a, V b) { return a > b ? a : b; }
FN V min_(V a, V b) { return a < b ? a : b; }
FN M finite(V x) { return abs_(x) < splat(INF); }
