/* router.c - see router.h. Matching is by segments over a few dozen rows; nothing is allocated. */
#include "api/router.h"

#include "api/auth.h"
#include "api/conn.h"
#include "common/log.h"

static const struct route *const tables[] = {jobs_routes,      connections_routes, schema_routes,  migrations_routes, optimize_routes,
                                             documents_routes, context_routes,     queries_routes, keys_routes,       queue_routes,
                                             webhooks_routes,  deliveries_routes,  health_routes,  docs_routes};

const struct route *router_at(size_t index) {
  for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
    for (const struct route *route = tables[t]; route->pattern; route++)
      if (index-- == 0) return route;
  return NULL;
}

size_t router_body_cap(const struct route *route) {
  if (!route) return 0;
  if (route->body_cap) return route->body_cap;
  return route->method == HTTP_GET ? 0 : LIMIT_HTTP_BODY_DEFAULT;
}

/* --- matching --- */

static bool take_id(const char **path, struct id *ret_id) {
  char text[ID_TEXT];
  size_t len = strcspn(*path, "/");
  if (len != ID_TEXT - 1) return false;
  memcpy(text, *path, len);
  text[len] = '\0';
  *path += len;
  return id_parse(text, ret_id);
}

static bool match(const char *pattern, const char *path, struct id ids[2]) {
  size_t id = 0;
  while (*pattern) {
    if (*pattern == '{') {
      if (!take_id(&path, &ids[id++])) return false;
      pattern = strchr(pattern, '}') + 1;
    } else if (*pattern++ != *path++) {
      return false;
    }
  }
  return *path == '\0';
}

static void add_method(char *allow, size_t size, const char *name) {
  size_t len = strlen(allow);
  snprintf(allow + len, size - len, "%s%s", len ? ", " : "", name);
}

void router_find(uint8_t method, const char *path, struct route_match *ret_match) {
  struct id ids[2];
  *ret_match = (struct route_match){0};
  uint8_t wanted = method == HTTP_HEAD ? HTTP_GET : method;
  for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
    for (const struct route *route = tables[t]; route->pattern; route++) {
      if (!match(route->pattern, path, ids)) continue;
      if (route->method == wanted && !ret_match->route) {
        ret_match->route = route;
        memcpy(ret_match->ids, ids, sizeof ids);
        return;
      }
      add_method(ret_match->allow, sizeof ret_match->allow, llhttp_method_name(route->method));
      if (route->method == HTTP_GET) add_method(ret_match->allow, sizeof ret_match->allow, "HEAD");
    }
  if (*ret_match->allow) add_method(ret_match->allow, sizeof ret_match->allow, "OPTIONS");
}

/* --- the head --- */

static void take_request_id(struct request *req) {
  const char *given = http_header(req->http, "x-request-id");
  size_t len = given ? strlen(given) : 0;
  if (len && len < REQUEST_ID_MAX && strspn(given, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len) {
    memcpy(req->request_id, given, len + 1);
    return;
  }
  struct id id;
  id_new(&id);
  id_format(&id, req->request_id);
}

static enum status no_route(struct request *req, const struct route_match *found, struct error *err) {
  bool server_wide = strcmp(req->http->path, "*") == 0;
  if (!*found->allow && !server_wide)
    return error_set(err, ERR_NOT_FOUND, "There is nothing at this path. GET /openapi.yaml lists what is served.");
  request_header(req, "Allow", "%s", server_wide ? "GET, HEAD, POST, PATCH, DELETE, OPTIONS" : found->allow);
  if (req->http->method != HTTP_OPTIONS)
    return error_set(err, ERR_METHOD, "%s is not served here; allowed: %s.", llhttp_method_name(req->http->method), found->allow);
  reply_empty(req, 204);
  return OK;
}

static enum status check_size(const struct request *req, struct error *err) {
  size_t cap = router_body_cap(req->route);
  if (req->http->content_length > (int64_t)cap)
    return cap ? error_set(err, ERR_TOO_LARGE, "The request body is larger than %zu bytes.", cap)
               : error_set(err, ERR_TOO_LARGE, "This request takes no body.");
  return OK;
}

static enum status begin(struct request *req, struct error *err) {
  struct route_match found;
  enum status status;
  router_find(req->http->method, req->http->path, &found);
  if (!found.route) return no_route(req, &found, err);
  req->route = found.route;
  memcpy(req->ids, found.ids, sizeof req->ids);
  if ((status = check_size(req, err)) != OK) return status;
  if (found.route->auth != AUTH_NONE) return auth_check(req, err); /* goes on in router_admit */
  router_admit(req);
  return OK;
}

void router_admit(struct request *req) {
  ERROR_AUTO err = {0};
  if (!req->route->upload)
    conn_admitted(req->conn);
  else if (req->route->upload->admit(req, &err) != OK)
    reply_error(req, &err);
}

void router_begin(struct request *req) {
  ERROR_AUTO err = {0};
  take_request_id(req);
  trace_child(http_header(req->http, "traceparent"), req->trace);
  if (req->http->bad_expectation) {
    reply_expectation_failed(req);
    return;
  }
  if (begin(req, &err) != OK) reply_error(req, &err);
}

/* --- the body --- */

void router_run(struct request *req) {
  ERROR_AUTO err = {0};
  enum status status = request_parse_query(req, &err);
  if (status == OK && req->route->method != HTTP_GET && !req->route->upload) status = request_parse_body(req, &err);
  if (status == OK) status = req->route->handler(req, &err);
  if (status != OK) reply_error(req, &err);
}
