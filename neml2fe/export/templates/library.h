// What a library holds of its materials, in tables that `source.py` writes.

#include "neml2fe.h"

enum { ROLES = NEML2FE_PARAMETERS + 1 };

// Where the numbers of a kernel's array are: in a row of the caller's, or in one of these.
enum { TIME = ROLES, TANGENT, ENERGY, UNUSED };

struct Place {
  int role, offset, size;
};

// As in drive.h of the kernels: eight bytes each.
struct Array {
  double *data;
  long long point, step;
};

struct Call {
  long long n_points, n_steps, n_carry, backwards, n_threads;
  const Array *in, *out;
  const void *carry;
  const double *settings;
  long long *status, *iterations;
};

typedef void (*Kernel)(const Call *);

struct neml2fe_material {
  const char *name, *measure;
  const neml2fe_variable *variables[ROLES];
  int counts[ROLES], sizes[ROLES];
  const double *initial, *parameters;
  int stress_in_state;  // its offset there, or -1
  int logarithmic;      // a small-strain law, driven by the logarithmic strain of F
  int n_in, n_out;
  const Place *in, *out;  // the tangent is the last, for kernels that have it
  const double *settings;
  // For many points at once, without and with tangent; for one; and for one that failed, or null.
  Kernel values, many, one, careful;
};

struct Library {
  int version, n;
  const neml2fe_material *const *materials;
};

extern "C" __attribute__((visibility("default"))) const Library neml2fe_library;
