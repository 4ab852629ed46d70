/* Materials of neml2fe in compiled codes.

   `neml2fe compile DECK --library steel.so` makes a library of the materials of a deck; Python is
   not needed to use it. Link it, or load it by its path:

       const neml2fe_material *steel = neml2fe_load("./steel.so", "steel");
       if (!steel) { fprintf(stderr, "%s\n", neml2fe_last_error()); exit(2); }

   All numbers are doubles. The numbers of one point follow each other, those of the next point
   come after them. Symmetric tensors are in Mandel notation: 11, 22, 33, 23, 13, 12 with shear
   components times sqrt(2); other tensors are 11, 12, 13, 21, 22, ..., 33.

   All functions may be called from several threads at once. */

#ifndef NEML2FE_H
#define NEML2FE_H

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

#define NEML2FE_VERSION 1 /* of this interface and of the libraries that it reads */

typedef struct neml2fe_material neml2fe_material;

/* What the numbers of a point are. Parameters are the same for all points of a call. */
typedef enum {
  NEML2FE_STRAIN,
  NEML2FE_STRESS,
  NEML2FE_STATE,
  NEML2FE_FIELDS,
  NEML2FE_PARAMETERS
} neml2fe_role;

/* A variable: `size` numbers at `offset` in the row of its role. `kind` is Scalar, SR2 (symmetric
   tensor), R2 (tensor), Vec, ... */
typedef struct {
  const char *name, *kind;
  int size, offset;
} neml2fe_variable;

/* What `neml2fe_update` says of a point. */
enum { NEML2FE_CONVERGED = 0, NEML2FE_ITERATION_LIMIT = 1, NEML2FE_NOT_FINITE = 2 };

/* The material `name` of the library at the path `library`; NULL for one that is linked to the
   calling program. A `name` of NULL stands for the only material there. Returns NULL where that
   fails. What is loaded stays loaded; nothing is to be freed. */
const neml2fe_material *neml2fe_load(const char *library, const char *name);

/* Why the last call of this thread failed; "" if none has. */
const char *neml2fe_last_error(void);

/* Names in the library, one at a time: NULL behind the last. `library` as above. */
const char *neml2fe_material_name(const char *library, int index);

/* Numbers of a role: of one point, or of all parameters. Of a material that is NULL, here and
   below, there is nothing: 0, NULL, nothing written. */
int neml2fe_size(const neml2fe_material *material, neml2fe_role role);

/* Variables of a role, one at a time: NULL behind the last. */
const neml2fe_variable *neml2fe_variable_at(const neml2fe_material *material, neml2fe_role role,
                                            int index);

/* "small strain": strains to stresses, both in Mandel notation. Else a deformation gradient is
   mapped to the stress that is named: "PK1" (9 numbers), "PK2", "KIRCHHOFF" or "CAUCHY" (6). */
const char *neml2fe_measure(const neml2fe_material *material);

/* The virgin state of n points. */
void neml2fe_initial_state(const neml2fe_material *material, long n, double *state);

/* The parameters that the deck gives. */
void neml2fe_default_parameters(const neml2fe_material *material, double *parameters);

/* Advance n points from `time - dt` to `time`.

   Given: total strains (or deformation gradients) at `time`; fields at `time`, NULL if there are
   none; parameters, NULL for those of the deck; the state at `time - dt`.
   Found: stress, state at `time`, and unless these are NULL, the consistent tangent d stress /
   d strain (row by row, the rows those of the stress), stored energy (for materials that name
   one), and the status of each point. What is found must not overlap what is given.

   Returns 0, or how many points failed: their numbers are not to be used, those of others are
   good. Returns -1 where the call itself is wrong. */
long neml2fe_update(const neml2fe_material *material, long n, double time, double dt,
                    const double *strain, const double *fields, const double *parameters,
                    const double *old_state, double *stress, double *state, double *tangent,
                    double *energy, int *status);

/* Threads that share the points of an update, 1 unless told otherwise. */
void neml2fe_set_threads(int threads);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#endif
