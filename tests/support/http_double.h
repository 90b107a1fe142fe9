/* http_double.h - an HTTP server of the test's own, for what lives elsewhere in production: models, receivers of webhooks, AWS.
 *
 * On a free port of 127.0.0.1; answers each request with the next reply of a script (the last one again when they run out) and keeps what
 * it was asked. Connections are served side by side. */
#ifndef AUTODB_TESTS_HTTP_DOUBLE_H
#define AUTODB_TESTS_HTTP_DOUBLE_H

#include <stdbool.h>
#include <stddef.h>

#define HTTP_DOUBLE_REQUESTS 1024

struct http_reply {
  int status;
  const char *headers; /* "Name: value\r\n" lines, or NULL */
  const char *body;
  bool hang_up; /* close without an answer */
  size_t cut;   /* bytes at the body's end that are announced and not sent */
  int stall_ms; /* wait before answering; ends early when the double is freed */
};
struct http_seen {
  char *head; /* request line and headers */
  char *body;
};

struct http_double;
/* replies are borrowed and must outlive it. */
struct http_double *http_double_new(const struct http_reply *replies, size_t count);
void http_double_free(struct http_double *server);
int http_double_port(const struct http_double *server);
const char *http_double_url(const struct http_double *server); /* "http://127.0.0.1:port" */
size_t http_double_count(struct http_double *server);          /* requests seen so far */
int http_double_peak(struct http_double *server);              /* most requests that waited for their answers at once */
/* The request of that index; waits for nothing, fails the test when there is none. Lives as long as the double. */
const struct http_seen *http_double_seen(struct http_double *server, size_t index);
/* The header's value in out ("" when absent). */
const char *http_double_header(const struct http_seen *seen, const char *name, char *out, size_t size);

#endif
