// The loop over points and steps around `point`, which maps IN numbers to OUT numbers.
//
// Arrays have a stride from point to point and from step to step, in numbers; the numbers of one
// point follow each other. An input with point stride 0 is the same for all points; an output with
// point stride 0 is summed over them, one with step stride 0 over the steps, and of one with step
// stride -1 only the last step that is computed is stored. From step to step
// `carry` hands numbers on: onto the input `to`, from the output `from`, or from the input
// -1 - `from`. Backwards, carried numbers are added to what the array holds.

struct Array {
  REAL* data;
  long long point, step;
};

struct Carry {
  long long to, from;
};

struct Call {  // eight bytes each, as kernel.py writes them
  long long n_points, n_steps, n_carry, backwards, n_threads;
  const Array *in, *out;
  const Carry* carry;
  const Settings* settings;
  long long *status, *iterations;
};

// Histories lie far apart from step to step, beyond what processors fetch ahead by themselves.
FN void fetch_ahead(const REAL* data, long long point, int size) {
#ifndef __CUDACC__
  for (int k = 0; k < W; ++k) {
    for (int c = 0; c < size; c += 8) __builtin_prefetch(data + k * point + c);
    __builtin_prefetch(data + k * point + size - 1);
  }
#endif
}

FN void load(const Call& call, long long first, long long step, bool again, V* in) {
  for (int a = 0, at = 0; a < N_IN; at += IN_SIZE[a++]) {
    const Array& x = call.in[a];
    if (again && x.step == 0) continue;
    const REAL* data = x.data + step * x.step;
    if (x.point == 0) {
      for (int c = 0; c < IN_SIZE[a]; ++c) in[at + c] = splat(data[c]);
      continue;
    }
    long long next = call.backwards ? -x.step : x.step;
    if (x.step) fetch_ahead(data + next + first * x.point, x.point, IN_SIZE[a]);
    for (int k = 0; k < W; ++k) {
      long long i = first + k < call.n_points ? first + k : call.n_points - 1;
      for (int c = 0; c < IN_SIZE[a]; ++c) set_lane(in[at + c], k, data[i * x.point + c]);
    }
  }
}

FN void store(const Call& call, long long first, long long step, int lanes, bool last, const V* out,
              V* total, REAL* sums) {
  for (int a = 0, at = 0; a < N_OUT; at += OUT_SIZE[a++]) {
    const Array& y = call.out[a];
    bool over_steps = y.step == 0 && call.n_steps > 1;
    if (over_steps)
      for (int c = 0; c < OUT_SIZE[a]; ++c) total[at + c] += out[at + c];
    if ((over_steps || y.step < 0) && !last) continue;
    const V* value = over_steps ? total + at : out + at;
    REAL* data = y.data + (y.step < 0 ? 0 : step * y.step);
    long long next = call.backwards ? -y.step : y.step;
    if (y.step > 0 && y.point) fetch_ahead(data + next + first * y.point, y.point, OUT_SIZE[a]);
    for (int k = 0; k < lanes; ++k)
      for (int c = 0; c < OUT_SIZE[a]; ++c) {
        if (y.point)
          data[(first + k) * y.point + c] = lane(value[c], k);
        else
          sums[at + c] += lane(value[c], k);
      }
  }
}

// All steps of the W points from `first` on.
FN void march(const Call& call, long long first, REAL* sums) {
  V in[IN], out[OUT + 1], total[OUT + 1], kept[IN];
  long long left = call.n_points - first;
  int lanes = left < W ? (int)left : W;
  I status = I{} + CONVERGED;
  for (int c = 0; c < OUT; ++c) total[c] = splat(0);
  for (long long k = 0; k < call.n_steps; ++k) {
    long long step = call.backwards ? call.n_steps - 1 - k : k;
    bool last = k == call.n_steps - 1;
    load(call, first, step, k > 0, in);
    if (k > 0)
      for (int c = 0; c < call.n_carry; ++c) {
        V& x = in[call.carry[c].to];
        x = call.backwards ? x + kept[c] : kept[c];
      }
    M live = first_lanes(lanes) & (status == I{} + CONVERGED);
    I iterations = I{};
    point(in, out, live, call.settings, status, iterations);
    store(call, first, step, lanes, last, out, total, sums);
    if (call.status)
      for (int l = 0; l < lanes; ++l) {
        call.status[step * call.n_points + first + l] = lane(status, l);
        call.iterations[step * call.n_points + first + l] = lane(iterations, l);
      }
    for (int c = 0; c < call.n_carry; ++c) {
      long long from = call.carry[c].from;
      kept[c] = from < 0 ? in[-1 - from] : out[from];
    }
  }
}

#ifdef __CUDACC__
// Sums over points are left to the caller here: no output has point stride 0.
extern "C" __global__ void neml2fe_run(const Call* call) {
  long long first = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (first < call->n_points) march(*call, first, nullptr);
}
#else
// The sums do not depend on the number of threads: each chunk of points has its own, added in
// order.
extern "C" void neml2fe_run(const Call* given) {
  const Call& call = *given;
  long long groups = (call.n_points + W - 1) / W;
  int chunks = groups < 64 ? (int)groups : 64;
  std::vector<REAL> sums((size_t)chunks * (OUT + 1), REAL(0));
#pragma omp parallel for schedule(dynamic, 1) num_threads(call.n_threads) if (groups > 4)
  for (int chunk = 0; chunk < chunks; ++chunk)
    for (long long g = groups * chunk / chunks; g < groups * (chunk + 1) / chunks; ++g)
      march(call, g * W, sums.data() + (size_t)chunk * (OUT + 1));
  for (int a = 0, at = 0; a < N_OUT; at += OUT_SIZE[a++])
    if (call.out[a].point == 0)
      for (int c = 0; c < OUT_SIZE[a]; ++c) {
        REAL sum = 0;
        for (int chunk = 0; chunk < chunks; ++chunk) sum += sums[(size_t)chunk * (OUT + 1) + at + c];
        call.out[a].data[c] = sum;
      }
}
#endif

}  // namespace neml2fe
