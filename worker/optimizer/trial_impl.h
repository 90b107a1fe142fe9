/* trial_impl.h - the two places where indexes are tried, and what they share. */
#ifndef AUTODB_OPTIMIZER_TRIAL_IMPL_H
#define AUTODB_OPTIMIZER_TRIAL_IMPL_H

#include "sandbox/whatif.h"
#include "worker/optimizer/trial.h"

struct trial_driver {
  const char *name;
  enum status (*open)(struct trial *trial, struct error *err);
  void (*close)(struct trial *trial);
  /* One statement. ERR_VALIDATION: the server refused it, and the next may be asked. */
  enum status (*ask)(struct trial *trial, const char *sql, PGresult **ret_res, struct error *err);
  /* Makes candidates that were never tried; sets `refused`. */
  enum status (*add)(struct trial *trial, struct candidate *const *candidates, size_t count, struct error *err);
  /* Shows or hides candidates that are there. */
  enum status (*show)(struct trial *trial, struct candidate *const *candidates, size_t count, bool shown, struct error *err);
  enum status (*set)(struct trial *trial, const char *name, const char *value, struct error *err);
  enum status (*hide)(struct trial *trial, const char *schema, const char *index, bool hidden, struct error *err);
};
extern const struct trial_driver trial_whatif, trial_hypopg;

struct trial {
  const struct trial_driver *driver;
  struct trial_setup setup;
  struct arena *arena;
  json_t *problems;
  /* of the what-if server */
  struct clone clone;
  struct whatif *whatif;
  /* of HypoPG */
  int64_t began_ms; /* of the transaction; 0 none */
};

#endif
