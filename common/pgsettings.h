/* pgsettings.h - connection strings to our own database, with server settings added. */
#ifndef AUTODB_PGSETTINGS_H
#define AUTODB_PGSETTINGS_H

/* Point lookups by id: the statements are prepared once and must depend neither on what was analysed when, nor on how many days there are
 * (planning one anew for each execution costs more than executing it). */
#define PGSETTINGS_LOOKUPS \
  "-c plan_cache_mode=force_generic_plan -c enable_hashjoin=off -c enable_mergejoin=off -c enable_seqscan=off -c jit=off"

/* `conninfo` (URI or key=value) as key=value with `settings` ("-c name=value …") behind its own options; malloc'd, NULL when malformed. */
char *pgsettings_add(const char *conninfo, const char *settings);

#endif
