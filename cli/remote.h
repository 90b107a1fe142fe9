/* remote.h - what the commands that call the API share. */
#ifndef AUTODB_REMOTE_H
#define AUTODB_REMOTE_H

#include "cli/client.h"

static inline void json_freep(json_t **value) { json_decref(*value); }
#define JSON_AUTO __attribute__((cleanup(json_freep))) json_t

int remote_failed(const struct error *err); /* cli_fail with the client's hint */
void remote_print_json(const json_t *value);
/* A whole number from least to most. */
MUST_CHECK bool remote_number(const char *text, long long least, long long most, long long *ret_value);
/* The connection meant: the one named, AUTODB_CONNECTION_ID, the only one, or of several the only one that fits: questions are for a role
 * that may only read, migrations for one that may change things. */
enum remote_need { REMOTE_READS, REMOTE_CHANGES };
MUST_CHECK enum status remote_connection(struct client *client, const char *named, enum remote_need need, char out[64], struct error *err);

#endif
