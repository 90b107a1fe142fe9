/* conninfo.h - connection strings to our own database, with server settings added. */
#ifndef AUTODB_CONNINFO_H
#define AUTODB_CONNINFO_H

/* `conninfo` (URI or key=value) as key=value with `settings` ("-c name=value …") behind its own options; malloc'd, NULL when malformed. */
char *conninfo_with(const char *conninfo, const char *settings);

#endif
