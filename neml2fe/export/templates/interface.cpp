// The functions of neml2fe.h, for the materials of this library and of others that are loaded.

#include <dlfcn.h>

#include <atomic>
#include <cfloat>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <vector>

#include "library.h"
#include "logarithmic.h"

namespace {

thread_local char last_error[1024] = "";
std::atomic<int> threads{1};

void fail(const char *format, ...) {
  va_list rest;
  va_start(rest, format);
  vsnprintf(last_error, sizeof last_error, format, rest);
  va_end(rest);
}

const Library *opened(const char *path) {
  if (!path) return &neml2fe_library;
  void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    fail("cannot load %s: %s", path, dlerror());
    return nullptr;
  }
  const Library *library = static_cast<const Library *>(dlsym(handle, "neml2fe_library"));
  if (!library)
    fail("%s was not made by `neml2fe compile --library`: it has no neml2fe_library", path);
  else if (library->version != NEML2FE_VERSION)
    fail("%s has version %d of the interface, and %d is needed: compile it anew", path,
         library->version, NEML2FE_VERSION);
  else
    return library;
  return nullptr;
}

void add(char *to, size_t size, const char *text) {
  size_t used = strlen(to);
  if (used < size) snprintf(to + used, size - used, "%s", text);
}

// The arrays of one update, as kernels want them.
struct Update {
  const neml2fe_material &m;
  double times[2];
  double *rows[UNUSED];  // by role
  double *old_state;

  Array array(const Place &place, bool given, double *unused) const {
    switch (place.role) {
      case TIME:
        return {const_cast<double *>(times) + place.offset, 0, 0};
      case NEML2FE_PARAMETERS:
        return {rows[place.role] + place.offset, 0, 0};
      case NEML2FE_STATE:
        return {(given ? old_state : rows[place.role]) + place.offset, m.sizes[place.role], 0};
      case TANGENT:
        return {rows[TANGENT] ? rows[TANGENT] : unused, rows[TANGENT] ? place.size : 0, 0};
      case ENERGY:
        return {rows[ENERGY] ? rows[ENERGY] : unused, rows[ENERGY] ? 1 : 0, 0};
      case UNUSED:
        return {unused, 0, 0};
    }
    const bool own = m.logarithmic && place.role <= NEML2FE_STRESS;
    return {rows[place.role] + place.offset, own ? 6 : m.sizes[place.role], 0};
  }

  // Run a kernel on n points from `first` on.
  void run(Kernel kernel, long first, long n, long long *status, long long *iterations) const {
    int width = 1;
    for (int a = 0; a < m.n_out; ++a) width += m.out[a].size;
    Array *in = static_cast<Array *>(__builtin_alloca(m.n_in * sizeof(Array)));
    Array *out = static_cast<Array *>(__builtin_alloca(m.n_out * sizeof(Array)));
    double *unused = static_cast<double *>(__builtin_alloca(width * sizeof(double)));
    for (int a = 0; a < m.n_in; ++a) {
      in[a] = array(m.in[a], true, unused);
      in[a].data += first * in[a].point;
    }
    for (int a = 0; a < m.n_out; ++a) {
      out[a] = array(m.out[a], false, unused);
      out[a].data += first * out[a].point;
      unused += m.out[a].size;
    }
    Call call{n, 1, 0, 0, threads, in, out, nullptr, m.settings, status, iterations};
    kernel(&call);
  }
};

const int FEW = 2;  // points that are done faster one by one than side by side

bool finite(const double *values, int n) {
  bool all = true;
  for (int k = 0; k < n; ++k) all &= std::fabs(values[k]) <= DBL_MAX;
  return all;
}

bool is_role(int role) { return role >= 0 && role < ROLES; }

}  // namespace

extern "C" {

const char *neml2fe_last_error(void) { return last_error; }

const char *neml2fe_material_name(const char *library, int index) {
  const Library *from = opened(library);
  return from && index >= 0 && index < from->n ? from->materials[index]->name : nullptr;
}

const neml2fe_material *neml2fe_load(const char *library, const char *name) {
  const Library *from = opened(library);
  if (!from) return nullptr;
  if (!name && from->n == 1) return from->materials[0];
  char names[600] = "";
  for (int k = 0; k < from->n; ++k) {
    if (name && !strcmp(name, from->materials[k]->name)) return from->materials[k];
    add(names, sizeof names, k ? ", " : "");
    add(names, sizeof names, from->materials[k]->name);
  }
  const char *where = library ? library : "this library";
  if (name)
    fail("no material '%s' in %s; there is: %s", name, where, names);
  else
    fail("%s has several materials, name one: %s", where, names);
  return nullptr;
}

int neml2fe_size(const neml2fe_material *m, neml2fe_role role) {
  return m && is_role(role) ? m->sizes[role] : 0;
}

const neml2fe_variable *neml2fe_variable_at(const neml2fe_material *m, neml2fe_role role,
                                            int index) {
  const bool there = m && is_role(role) && index >= 0 && index < m->counts[role];
  return there ? m->variables[role] + index : nullptr;
}

const char *neml2fe_measure(const neml2fe_material *m) { return m ? m->measure : nullptr; }

void neml2fe_initial_state(const neml2fe_material *m, long n, double *state) {
  for (long i = 0; m && i < n; ++i)
    for (int c = 0; c < m->sizes[NEML2FE_STATE]; ++c) *state++ = m->initial[c];
}

void neml2fe_default_parameters(const neml2fe_material *m, double *parameters) {
  for (int c = 0; m && c < m->sizes[NEML2FE_PARAMETERS]; ++c) parameters[c] = m->parameters[c];
}

void neml2fe_set_threads(int n) { threads = n > 1 ? n : 1; }

long neml2fe_update(const neml2fe_material *m, long n, double time, double dt,
                    const double *strain, const double *fields, const double *parameters,
                    const double *old_state, double *stress, double *state, double *tangent,
                    double *energy, int *status) {
  const bool has_state = m && m->sizes[NEML2FE_STATE];
  if (!m || n < 0 || (n > 0 && (!strain || !stress || (has_state && (!old_state || !state))))) {
    fail("neml2fe_update: %s", !m      ? "no material"
                               : n < 0 ? "the number of points is negative"
                                       : "strain, stress, and for a material with a state the old "
                                         "and the new one, must not be NULL");
    return -1;
  }
  if (n > 0 && !fields && m->sizes[NEML2FE_FIELDS]) {
    fail("neml2fe_update: material '%s' needs fields, %d numbers a point, first '%s'", m->name,
         m->sizes[NEML2FE_FIELDS], m->variables[NEML2FE_FIELDS][0].name);
    return -1;
  }
  const int width = m->logarithmic ? 6 : m->sizes[NEML2FE_STRESS];
  std::vector<double> inner(m->logarithmic ? n * (6 + 6 + (tangent ? 36 : 0)) : 0);
  std::vector<Logarithm> kinematics;
  double *own_strain = const_cast<double *>(strain), *own_stress = stress, *own_tangent = tangent;
  if (m->logarithmic) {
    own_strain = inner.data(), own_stress = own_strain + 6 * n;
    own_tangent = tangent ? own_stress + 6 * n : nullptr;
    kinematics.reserve(n);
    for (long i = 0; i < n; ++i) {
      kinematics.emplace_back(strain + 9 * i);
      memcpy(own_strain + 6 * i, kinematics[i].strain, sizeof kinematics[i].strain);
    }
  }
  const double *given = parameters ? parameters : m->parameters;
  Update update{*m, {time, time - dt}, {}, const_cast<double *>(old_state)};
  update.rows[NEML2FE_STRAIN] = own_strain;
  update.rows[NEML2FE_STRESS] = own_stress;
  update.rows[NEML2FE_STATE] = state;
  update.rows[NEML2FE_FIELDS] = const_cast<double *>(fields);
  update.rows[NEML2FE_PARAMETERS] = const_cast<double *>(given);
  update.rows[TANGENT] = own_tangent;
  update.rows[ENERGY] = energy;

  long long few[2 * FEW];
  std::vector<long long> many(n > FEW ? 2 * n : 0);
  long long *found = n > FEW ? many.data() : few;
  if (n > FEW)
    update.run(tangent ? m->many : m->values, 0, n, found, found + n);
  else
    for (long i = 0; i < n; ++i) update.run(m->one, i, 1, found + i, found + n + i);

  const int states = m->sizes[NEML2FE_STATE];
  const int slopes = width * (m->logarithmic ? 6 : m->sizes[NEML2FE_STRAIN]);
  long failed = 0;
  for (long i = 0; i < n; ++i) {
    if (found[i] != NEML2FE_CONVERGED && m->careful)
      update.run(m->careful, i, 1, found + i, found + n + i);
    const bool good = finite(own_stress + i * width, width) &&
                      (!tangent || finite(own_tangent + i * slopes, slopes));
    if (found[i] == NEML2FE_CONVERGED && !good) found[i] = NEML2FE_NOT_FINITE;
    if (m->stress_in_state >= 0)
      memcpy(state + i * states + m->stress_in_state, own_stress + i * width,
             width * sizeof(double));
    if (m->logarithmic) {
      if (!kinematics[i].regular) found[i] = NEML2FE_NOT_FINITE;
      kinematics[i].first_piola(own_stress + 6 * i, tangent ? own_tangent + 36 * i : nullptr,
                                stress + 9 * i, tangent ? tangent + 81 * i : nullptr);
    }
    if (status) status[i] = static_cast<int>(found[i]);
    failed += found[i] != NEML2FE_CONVERGED;
  }
  return failed;
}

}  // extern "C"
