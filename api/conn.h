/* conn.h - one client connection: bytes in, requests through the router, answers out, in order.
 *
 * A connection is in exactly one state and on that state's list. All members of a list have the same time allowance, so each list is
 * in order of deadline and one coarse timer looks at its front: no timer per connection.
 *
 * A body that is used as it arrives (route_upload) may take long, as long as it keeps coming: UPLOAD.
 * A connection whose answer is a stream (conn_stream_begin) stays BUSY as long as that lasts.
 *
 *   IDLE ──first byte──▶ HEAD ──▶ BODY | UPLOAD ──▶ BUSY ──answer──▶ IDLE (keep-alive) | FLUSH (much to send) | LINGER (closing) ──▶ DEAD
 */
#ifndef AUTODB_API_CONN_H
#define AUTODB_API_CONN_H

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <sys/queue.h>

#include "api/request.h"

enum conn_state { CONN_IDLE, CONN_HEAD, CONN_BODY, CONN_UPLOAD, CONN_BUSY, CONN_FLUSH, CONN_LINGER, CONN_DEAD, CONN_STATES };

struct conn;
TAILQ_HEAD(conn_list, conn);

struct server; /* server.c: the loop's listener and connections */

struct conn {
  TAILQ_ENTRY(conn) link;
  STAILQ_ENTRY(conn) again_link;
  struct server *server;
  struct bufferevent *bev;
  enum conn_state state;
  int64_t deadline;  /* clock_mono_ms */
  size_t flush_left; /* bytes unsent at the last look, in FLUSH */
  size_t lingered;
  size_t arrived; /* bytes of the upload at the last look, in UPLOAD */
  unsigned requests;
  bool again;     /* on the server's list of connections to continue at the end of the turn */
  bool closing;   /* no request after this one */
  bool gone;      /* the client's side is closed, or broken */
  bool head_only; /* HEAD: no body in the answer */
  bool paused;    /* reading is off: the input is full and nobody takes it */
  bool streams;   /* the answer is of unknown length */
  bool body_read; /* the body, if any, is off the wire */
  struct http http;
  struct arena *arena;
  struct request req;
};

struct conn *conn_new(struct server *server, evutil_socket_t fd); /* NULL when out of memory; fd is closed then */
void conn_free(struct conn *conn);
void conn_continue(struct conn *conn); /* reads on with what is buffered */
void conn_expire(struct conn *conn);   /* its deadline passed */
void conn_admitted(struct conn *conn); /* the router lets the request's body in (router.c) */
/* The answer of the current request: head and body as bytes; `body` is copied, unless large, when its memory is taken. */
void conn_answer(struct conn *conn, int http_status, const char *content_type, struct buf *body);

/* The same with a file's content, sent by the kernel; takes the descriptor. */
void conn_answer_file(struct conn *conn, const char *content_type, int take_fd, int64_t bytes);

/* An answer of unknown length, sent piece by piece: as chunks, to HTTP/1.0 up to the close. The connection takes no request after it. False
 * when the connection is broken; it must be ended then, too. What a client doesn't acknowledge within 30 s breaks it. */
MUST_CHECK bool conn_stream_begin(struct conn *conn, const char *content_type);
MUST_CHECK bool conn_stream_write(struct conn *conn, const char *data, size_t len);
void conn_stream_end(struct conn *conn, bool whole); /* `whole`: with the last chunk, else by breaking off */
size_t conn_unsent(const struct conn *conn);         /* bytes the kernel has not taken yet */

/* server.c */
void server_move(struct conn *conn, enum conn_state state);
void server_again(struct conn *conn);
struct loop *server_loop(struct server *server);
bool server_draining(const struct server *server);
const char *server_date(struct server *server);    /* RFC 9110 date, of this second */
struct buf *server_scratch(struct server *server); /* empty; valid until the next call */

#endif
