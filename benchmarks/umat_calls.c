/* Times a UMAT as Abaqus calls it, a point and an increment at a time.

   umat_calls NSTATV INCREMENTS REPEATS AMPLITUDE: a strain path of a full cycle, prints the best
   microseconds of a call over the repeats, and the last stress. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void umat_(double *, double *, double *, double *, double *, double *, double *, double *, double *,
           double *, const double *, const double *, const double *, const double *, const double *,
           const double *, const double *, const double *, const char *, const int *, const int *,
           const int *, const int *, const double *, const int *, const double *, const double *,
           double *, const double *, const double *, const double *, const int *, const int *,
           const int *, const int *, const int *, const int *);

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + 1e-9 * t.tv_nsec;
}

int main(int argc, char **argv) {
  if (argc != 5) return 2;
  const int nstatv = atoi(argv[1]), increments = atoi(argv[2]), repeats = atoi(argv[3]);
  const double amplitude = atof(argv[4]), turn = 2 * 3.14159265358979323846;
  const double direction[6] = {1, -0.4, -0.35, 0.3, -0.2, 0.1};
  const double one[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1}, zero[6] = {0}, dtime = 1.0 / increments;
  char name[80];
  memset(name, ' ', sizeof name);
  memcpy(name, "MODEL", 5);
  const int three = 3, six = 6, none = 0, count = 1;
  double *statev = malloc(nstatv * sizeof(double)), best = 1e30, stress[6], ddsdde[36], other[6];
  for (int r = 0; r < repeats; ++r) {
    double stran[6] = {0}, pnewdt = 1;
    memset(statev, 0, nstatv * sizeof(double));
    memset(stress, 0, sizeof stress);
    const double start = now();
    for (int k = 0; k < increments; ++k) {
      const double time[2] = {k * dtime, k * dtime};
      double dstran[6];
      for (int i = 0; i < 6; ++i)
        dstran[i] = amplitude * direction[i] * (sin(turn * (k + 1) * dtime) - sin(turn * k * dtime));
      umat_(stress, statev, ddsdde, other, other, other, other, other, other, other, stran, dstran,
            time, &dtime, zero, zero, zero, zero, name, &three, &three, &six, &nstatv, zero, &none,
            zero, one, &pnewdt, zero, one, one, &count, &count, &count, &count, &count, &count);
      for (int i = 0; i < 6; ++i) stran[i] += dstran[i];
    }
    const double each = (now() - start) / increments;
    if (each < best) best = each;
    if (pnewdt != 1) return 1;
  }
  printf("%.17g", 1e6 * best);
  for (int i = 0; i < 6; ++i) printf(" %.17g", stress[i]);
  printf("\n");
  return 0;
}
