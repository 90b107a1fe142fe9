/* multipart.h - multipart/form-data (RFC 7578, RFC 2046) as it arrives: bytes in, parts out, nothing kept but the head of one part.
 *
 * Pure: no files, no sockets. Bytes may be cut anywhere. Refused as ERR_MALFORMED is what two parsers could read differently: bare LF or CR
 * in a part's head, folded lines, a header or parameter twice, quotes without an end, a transfer encoding, text after a boundary, a body
 * without its last boundary. */
#ifndef AUTODB_API_MULTIPART_H
#define AUTODB_API_MULTIPART_H

#include "common/arena.h"
#include "common/error.h"

struct multipart_part {     /* valid during begin */
  const char *name;         /* of the form's field; UTF-8 without control characters, as the two below */
  const char *filename;     /* NULL: a plain field. Path components are cut off ("/" and "\"); may be "" */
  const char *content_type; /* as the client says; "" when it doesn't */
};

/* Each part is one begin, any number of data, one end. What they return ends the parsing when it isn't OK. */
struct multipart_sink {
  enum status (*begin)(void *arg, const struct multipart_part *part, struct error *err);
  enum status (*data)(void *arg, const char *data, size_t len, struct error *err);
  enum status (*end)(void *arg, struct error *err);
};

struct multipart;
/* For a body of that Content-Type: ERR_MEDIA_TYPE unless it is multipart/form-data, ERR_MALFORMED without a usable boundary. In the arena;
 * `sink` and `arg` are borrowed. */
MUST_CHECK enum status multipart_new(struct arena *arena, const char *content_type, const struct multipart_sink *sink, void *arg,
                                     struct multipart **ret_multipart, struct error *err);
MUST_CHECK enum status multipart_feed(struct multipart *multipart, const char *data, size_t len, struct error *err);
MUST_CHECK enum status multipart_finish(struct multipart *multipart, struct error *err); /* the body is over */

#endif
