/* upload.h - files on their way from a form to documents of a connection.
 *
 * Bytes go from the socket to files (spool.h) as they come; of a file only its head is ever in memory. When the form is whole, the
 * originals are put into the document store on a thread, and then the documents and the job that ingests them are committed by one
 * statement. What goes wrong before that leaves nothing but, at most, an original that nothing refers to: the workers sweep those. */
#ifndef AUTODB_API_UPLOAD_H
#define AUTODB_API_UPLOAD_H

#include "api/request.h"
#include "api/spool.h"

struct upload_file {
  struct spool_file spooled;
  const char *name, *content_type;
};

struct upload { /* the request's state until it is committed, in its arena */
  struct upload_file files[LIMIT_UPLOAD_FILES];
  size_t count;
  json_t *fields; /* what is no file */
  /* private */
  struct request *req;
  struct multipart *multipart;
  const char *field; /* the one being read; NULL: it is a file */
  struct buf text;
  bool counted; /* among those that arrive */
};

extern const struct route_upload upload_documents; /* for {id} of a connection */

/* The form is over: checks that it is whole, and makes req->body of it: {files: [{name, content_type, bytes, sha256}], …}. */
MUST_CHECK enum status upload_finish(struct request *req, struct error *err);
/* Removes its files, as far as they are still here: a connection may be idle for long after its answer. */
void upload_clear(struct upload *upload);

#endif
