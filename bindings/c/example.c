/* A cyclic test of n points of a material of neml2fe, each with an amplitude of its own.

       neml2fe compile ../../examples/steel.i --library steel.so
       cc example.c -o example ./steel.so -lm
       ./example "" viscoplasticity 4

   The first argument is the path of a library to load, or "" for the one that is linked; the
   second a material's name; the third n. A fourth, the value of all fields (temperature, ...). */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "neml2fe.h"

static const char *const ROLES[] = {"strain", "stress", "state", "field", "parameter"};

static double *numbers(long n) {
  double *found = calloc(n > 0 ? n : 1, sizeof(double));
  if (!found) exit(3);
  return found;
}

static void show(const neml2fe_material *material) {
  const neml2fe_variable *v;
  int role, k;
  printf("measure: %s\n", neml2fe_measure(material));
  for (role = NEML2FE_STRAIN; role <= NEML2FE_PARAMETERS; ++role) {
    printf("%s: %d numbers\n", ROLES[role], neml2fe_size(material, role));
    for (k = 0; (v = neml2fe_variable_at(material, role, k)); ++k)
      printf("  %d to %d: %s (%s)\n", v->offset, v->offset + v->size - 1, v->name, v->kind);
  }
}

int main(int argc, char **argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: %s LIBRARY MATERIAL POINTS [FIELDS]\n", argv[0]);
    return 1;
  }
  const neml2fe_material *material = neml2fe_load(*argv[1] ? argv[1] : NULL, argv[2]);
  if (!material) {
    fprintf(stderr, "%s\n", neml2fe_last_error());
    return 2;
  }
  if (strcmp(neml2fe_measure(material), "small strain")) {
    fprintf(stderr, "this example strains materials of small strain\n");
    return 2;
  }
  show(material);

  const long n = atol(argv[3]);
  const int n_state = neml2fe_size(material, NEML2FE_STATE);
  const int n_fields = neml2fe_size(material, NEML2FE_FIELDS);
  double *strain = numbers(6 * n), *stress = numbers(6 * n), *tangent = numbers(36 * n);
  double *old_state = numbers(n_state * n), *state = numbers(n_state * n), *swap;
  double *fields = numbers(n_fields * n);
  long i;
  int step;
  for (i = 0; i < n_fields * n; ++i) fields[i] = argc > 4 ? atof(argv[4]) : 0;

  neml2fe_initial_state(material, n, old_state);
  for (step = 1; step <= 40; ++step) {
    const double dt = 0.05, time = step * dt;
    for (i = 0; i < n; ++i) { /* two cycles of an isochoric strain */
      const double e = 0.01 * (i + 1) / n * sin(6.283185307179586 * time);
      strain[6 * i] = e;
      strain[6 * i + 1] = strain[6 * i + 2] = -0.5 * e;
    }
    const long failed = neml2fe_update(material, n, time, dt, strain, fields, NULL, old_state,
                                       stress, state, tangent, NULL, NULL);
    if (failed < 0) {
      fprintf(stderr, "%s\n", neml2fe_last_error());
      return 2;
    }
    if (failed > 0) { /* a finite-element code would cut its step back */
      fprintf(stderr, "%ld of %ld points failed in step %d\n", failed, n, step);
      return 1;
    }
    i = 6 * (n - 1);
    printf("step %d: strain %.17g stress %.17g tangent %.17g\n", step, strain[i], stress[i],
           tangent[36 * (n - 1)]);
    swap = old_state, old_state = state, state = swap; /* the step is accepted */
  }
  free(strain), free(stress), free(tangent), free(old_state), free(state), free(fields);
  return 0;
}
