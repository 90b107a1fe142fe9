/* sigv4.c - see sigv4.h: canonical request, string to sign, derived key, signature; as "Signing AWS API requests" of the IAM User Guide
 * says. */
#include "common/sigv4.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/buf.h"
#include "common/crypto.h"

#define PARAMS_MAX 64
#define TEXT_BYTES (64 * 1024)
#define ALGORITHM "AWS4-HMAC-SHA256"

void sigv4_date(int64_t wall_ms, char out[SIGV4_DATE]) {
  time_t seconds = (time_t)(wall_ms / 1000);
  struct tm tm;
  strftime(out, SIGV4_DATE, "%Y%m%dT%H%M%SZ", gmtime_r(&seconds, &tm));
}

void sigv4_encode(struct buf *out, const char *text, size_t len, const char *keep) {
  for (const char *at = text; at < text + len; at++) {
    if (*at && (strchr("-._~", *at) || strchr(keep, *at) || (isalnum((unsigned char)*at) && !((unsigned char)*at & 0x80))))
      buf_putc(out, *at);
    else
      buf_printf(out, "%%%02X", (unsigned char)*at);
  }
}

/* --- the canonical request --- */

static int hex_digit(char c) { return c >= '0' && c <= '9' ? c - '0' : isxdigit((unsigned char)c) ? (c | 0x20) - 'a' + 10 : -1; }

/* Decoded and encoded again, so that however it was written, it is signed as the server will write it. */
static const char *canonical(const char *text, size_t len, struct arena *arena) {
  BUF_AUTO plain, out;
  buf_init(&plain, TEXT_BYTES);
  buf_init(&out, 3 * TEXT_BYTES);
  for (size_t i = 0; i < len; i++) {
    int high = text[i] == '%' && i + 2 < len ? hex_digit(text[i + 1]) : -1, low = high >= 0 ? hex_digit(text[i + 2]) : -1;
    buf_putc(&plain, low >= 0 ? (char)(high << 4 | low) : text[i]);
    if (low >= 0) i += 2;
  }
  sigv4_encode(&out, buf_str(&plain), plain.len, "");
  return buf_ok(&plain) && buf_ok(&out) ? arena_strndup(arena, buf_str(&out), out.len) : NULL;
}

struct param {
  const char *name, *value;
};

static int by_name_and_value(const void *a, const void *b) {
  const struct param *x = a, *y = b;
  int order = strcmp(x->name, y->name);
  return order ? order : strcmp(x->value, y->value);
}

static bool put_query(struct buf *out, const char *query, struct arena *arena) {
  struct param params[PARAMS_MAX];
  size_t count = 0;
  for (const char *at = query; *at; at += strcspn(at, "&"), at += *at == '&') {
    size_t len = strcspn(at, "&"), name = strcspn(at, "=&");
    if (!len) continue;
    if (count == PARAMS_MAX) return false;
    params[count] = (struct param){canonical(at, name, arena), name < len ? canonical(at + name + 1, len - name - 1, arena) : ""};
    if (!params[count].name || !params[count].value) return false;
    count++;
  }
  qsort(params, count, sizeof *params, by_name_and_value);
  for (size_t i = 0; i < count; i++) buf_printf(out, "%s%s=%s", i ? "&" : "", params[i].name, params[i].value);
  return true;
}

static int by_header_name(const void *a, const void *b) {
  const struct sigv4_header *const *x = a, *const *y = b;
  return strcasecmp((*x)->name, (*y)->name);
}

static void put_lower(struct buf *out, const char *text) {
  for (; *text; text++) buf_putc(out, (char)tolower((unsigned char)*text));
}

/* Without the space around it, and with one where there were several. */
static void put_trimmed(struct buf *out, const char *text) {
  text += strspn(text, " \t");
  for (; *text; text++) {
    size_t spaces = strspn(text, " \t");
    if (!spaces)
      buf_putc(out, *text);
    else if (text[spaces])
      buf_putc(out, ' ');
    if (spaces) text += spaces - 1;
  }
}

struct signing {
  const struct sigv4_request *request;
  const struct sigv4_header *headers[SIGV4_HEADERS]; /* by name */
};

static void put_names(struct buf *out, const struct signing *signing) {
  for (size_t i = 0; i < signing->request->header_count; i++) {
    if (i) buf_putc(out, ';');
    put_lower(out, signing->headers[i]->name);
  }
}

static bool put_request(struct buf *out, const struct signing *signing, struct arena *arena) {
  const struct sigv4_request *request = signing->request;
  buf_printf(out, "%s\n", request->method);
  if (strcmp(request->service, "s3") == 0)
    buf_puts(out, request->path);
  else
    sigv4_encode(out, request->path, strlen(request->path), "/");
  buf_putc(out, '\n');
  if (!put_query(out, request->query, arena)) return false;
  buf_putc(out, '\n');
  for (size_t i = 0; i < request->header_count; i++) {
    put_lower(out, signing->headers[i]->name);
    buf_putc(out, ':');
    put_trimmed(out, signing->headers[i]->value);
    buf_putc(out, '\n');
  }
  buf_putc(out, '\n');
  put_names(out, signing);
  buf_printf(out, "\n%s", request->payload_sha256);
  return buf_ok(out);
}

/* --- the signature --- */

static void chain(uint8_t key[SHA256_BYTES], const char *text) {
  uint8_t next[SHA256_BYTES];
  crypto_hmac_sha256(key, SHA256_BYTES, text, strlen(text), next);
  memcpy(key, next, SHA256_BYTES);
}

static void signature_of(const struct sigv4_request *request, const char *day, const char *to_sign, char out[SHA256_HEX]) {
  char secret[4 + 256];
  uint8_t key[SHA256_BYTES];
  int len = snprintf(secret, sizeof secret, "AWS4%s", request->secret_key);
  crypto_hmac_sha256(secret, (size_t)len, day, strlen(day), key);
  chain(key, request->region);
  chain(key, request->service);
  chain(key, "aws4_request");
  chain(key, to_sign);
  crypto_hex(key, sizeof key, out);
  explicit_bzero(secret, sizeof secret);
}

enum status sigv4_sign(const struct sigv4_request *request, struct arena *arena, const char **ret_authorization, struct error *err) {
  struct signing signing = {.request = request};
  char digest[SHA256_HEX], signature[SHA256_HEX], day[9];
  BUF_AUTO text, names;
  buf_init(&text, 4 * TEXT_BYTES);
  buf_init(&names, TEXT_BYTES);
  if (request->header_count > SIGV4_HEADERS || strlen(request->secret_key) > 255)
    return error_set(err, ERR_VALIDATION, "at most %d headers, and a secret key of at most 255 bytes, can be signed with", SIGV4_HEADERS);
  for (size_t i = 0; i < request->header_count; i++) signing.headers[i] = &request->headers[i];
  qsort(signing.headers, request->header_count, sizeof *signing.headers, by_header_name);
  put_names(&names, &signing);
  if (!put_request(&text, &signing, arena) || !buf_ok(&names))
    return error_set(err, ERR_VALIDATION, "a request with that many parameters can't be signed");
  crypto_sha256_hex(text.data, text.len, digest);
  snprintf(day, sizeof day, "%.8s", request->date);
  const char *scope = arena_printf(arena, "%s/%s/%s/aws4_request", day, request->region, request->service);
  const char *to_sign = arena_printf(arena, ALGORITHM "\n%s\n%s\n%s", request->date, scope, digest);
  if (!scope || !to_sign) return error_oom(err);
  signature_of(request, day, to_sign, signature);
  const char *value = arena_printf(arena, ALGORITHM " Credential=%s/%s, SignedHeaders=%s, Signature=%s", request->access_key, scope,
                                   buf_str(&names), signature);
  if (!value) return error_oom(err);
  *ret_authorization = value;
  return OK;
}
