/* auth.h - who asks: API keys, looked up by their SHA-256 and remembered for five seconds per loop.
 *
 * A key is "adb_" and 43 base64url characters, 256 random bits, so a plain hash at rest is enough. A revocation is seen at once by the
 * process that did it (api.keys_epoch) and within the cache's five seconds by others. The owner's limits are remembered with the key. */
#ifndef AUTODB_API_AUTH_H
#define AUTODB_API_AUTH_H

#include "api/request.h"

#define AUTH_KEY_PREFIX "adb_"
#define AUTH_KEY_TEXT (4 + 43 + 1)
#define AUTH_SHOWN_PREFIX 12 /* characters of a key people may see */

struct auth;
struct auth *auth_new(struct loop *loop);
void auth_free(struct auth *auth);

/* Fills req->who and goes on with router_admit, now or when the database has answered; or fails. */
MUST_CHECK enum status auth_check(struct request *req, struct error *err);

/* A new raw key and its hash. */
void auth_make_key(char ret_key[AUTH_KEY_TEXT], uint8_t ret_hash[SHA256_BYTES]);

#endif
