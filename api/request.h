/* request.h - a request on its way through router, handler and database to its answer.
 *
 * A handler either fails (the router answers with the error), or answers, or starts one thing that will (request_query, submit,
 * waiters_add, offload_run) and returns OK. Each request is answered exactly once. It stays alive until then, whatever the client does. */
#ifndef AUTODB_API_REQUEST_H
#define AUTODB_API_REQUEST_H

#include "api/http.h"
#include "api/loop.h"
#include "common/id.h"
#include "common/json.h"

struct conn;
struct request;

enum auth_level { AUTH_NONE, AUTH_USER, AUTH_ADMIN };
struct identity {
  struct id key_id, owner_id;
  bool admin;
  int rate, burst; /* of jobs (api/rate.h); 0 = no limit */
  bool own_limits; /* the owner's, not everybody's: answers tell what is left */
};

/* YYYY-MM-DD or RFC 3339 with an offset, of an instant that exists. */
bool request_is_time(const char *text);
/* Milliseconds since 1970 of an RFC 3339 time (with its time of day); false when it is none. */
bool request_time_ms(const char *text, int64_t *ret_ms);

enum param_want { PARAM_TEXT, PARAM_INT, PARAM_BOOL, PARAM_ID, PARAM_TIME };
struct param { /* a query parameter a route takes */
  const char *name;
  enum param_want want;
  long long min, max;         /* PARAM_INT */
  const char *const *choices; /* PARAM_TEXT: NULL-terminated, or NULL */
};

enum route_flag {
  ROUTE_JOB = 1,  /* takes the members and headers of every [job] */
  ROUTE_WAITS = 2 /* waits for the job's end for LIMIT_ANSWER_SECONDS, unless something else is preferred */
};

/* A body that is used as it arrives, instead of kept and read as JSON. `admit` is asked before anything of it is read, and ends in an
 * answer or in conn_admitted; `take` gets its bytes; then the route's handler runs, and makes req->body itself. */
struct route_upload {
  enum status (*admit)(struct request *req, struct error *err);
  enum status (*take)(struct request *req, const char *data, size_t len, struct error *err);
};

/* To add a route: a row in the table of its resource's file (res_*.c). */
struct route {
  uint8_t method;      /* llhttp's; GET serves HEAD too */
  const char *pattern; /* "/api/v1/jobs/{id}": {id} matches a UUID */
  enum status (*handler)(struct request *req, struct error *err);
  enum auth_level auth;
  unsigned flags;
  size_t body_cap;                 /* bytes; 0 = LIMIT_HTTP_BODY_DEFAULT for other methods than GET */
  const struct param *params;      /* ends with a NULL name; NULL = none */
  const struct json_field *fields; /* members of the body; checked before the handler runs */
  size_t field_count;
  const struct route_upload *upload; /* NULL: the body is JSON */
};

#define REQUEST_PARAMS 12
#define REQUEST_ID_MAX 129
struct request {
  struct conn *conn;
  struct loop *loop;
  struct arena *arena; /* reset when the request has been answered */
  struct http *http;
  const struct route *route;
  struct identity who;
  struct id ids[2]; /* of the path, in order */
  char request_id[REQUEST_ID_MAX];
  char trace[TRACE_TEXT]; /* our child of the client's traceparent */
  json_t *body;           /* object, borrowed from the arena; empty when none was sent */
  struct {
    const char *name, *value;
  } params[REQUEST_PARAMS];
  size_t param_count;
  int64_t started_us;
  void *state;                        /* the handler's, in the arena */
  void (*hurry)(struct request *req); /* set while the request merely waits: the client hung up or we drain, answer now */
  /* private */
  enum status (*rows)(struct request *req, const PGresult *res, struct error *err);
  struct buf headers; /* extra header lines of the answer */
  bool answered;
};

/* --- query string, checked against the route's params --- */
MUST_CHECK enum status request_parse_query(struct request *req, struct error *err);
const char *request_param(const struct request *req, const char *name, const char *otherwise);
long long request_param_int(const struct request *req, const char *name, long long otherwise);
bool request_param_bool(const struct request *req, const char *name, bool otherwise);

/* Parses the body (Content-Type, JSON) and checks it against the route's fields. */
MUST_CHECK enum status request_parse_body(struct request *req, struct error *err);

/* Checks a req->body that was made otherwise. */
MUST_CHECK enum status request_check_body(const struct request *req, struct error *err);

/* N of "Prefer: wait=N" (RFC 7240), at most LIMIT_WAIT_SECONDS; `otherwise` when absent or not understood. */
int request_prefer_wait_or(const struct request *req, int otherwise);
static inline int request_prefer_wait(const struct request *req) { return request_prefer_wait_or(req, 0); }
bool request_prefer_async(const struct request *req); /* "Prefer: respond-async" */

/* Runs the statement; `rows` is called with its answer and ends the request as a handler would. A failure is answered with 503 or,
 * when the statement itself was refused, 500. Nothing is promised about a write that failed. */
typedef enum status (*request_rows)(struct request *req, const PGresult *res, struct error *err);
MUST_CHECK enum status request_query(struct request *req, const struct pg_stmt *stmt, const struct pg_params *params, request_rows rows,
                                     struct error *err);

/* Turns a database failure into what a client is told: 503 stays, everything else is ours: logged, and 500. */
/* A line about the request, with its id and trace; pairs follow, ending with NULL. */
#define request_log(level, req, message, ...) \
  log_event(level, message, "request", (req)->request_id, "trace_id", request_trace_id(req), __VA_ARGS__)
const char *request_trace_id(const struct request *req); /* in a per-thread buffer */

enum status request_database_error(const struct request *req, const struct error *cause, struct error *err);

/* --- answers: exactly one of these ends the request --- */
void request_header(struct request *req, const char *name, const char *fmt, ...) PRINTF_LIKE(3, 4); /* before the answer */
void reply_error(struct request *req, const struct error *err);
void reply_expectation_failed(struct request *req);                                  /* 417 */
void reply_json(struct request *req, int http_status, const char *json, size_t len); /* data of a success */
void reply_buf(struct request *req, int http_status, struct buf *data);              /* the same; empties data; 500 when it failed */
void reply_value(struct request *req, int http_status, json_t *take);
void reply_raw(struct request *req, int http_status, const char *content_type, const void *body, size_t len);
/* The file's bytes, as they are read by the kernel; takes the descriptor. */
void reply_file(struct request *req, const char *content_type, int take_fd, int64_t bytes);
void reply_empty(struct request *req, int http_status);

#endif
