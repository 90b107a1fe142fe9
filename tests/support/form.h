/* form.h - multipart/form-data as libcurl sends it: files from memory, or made up as they are sent. */
#ifndef AUTODB_TESTS_FORM_H
#define AUTODB_TESTS_FORM_H

#include "tests/support/harness.h"

struct form_part {
  const char *field; /* NULL: "files" */
  const char *file;  /* its name; NULL: a plain field */
  const char *text;  /* content; NULL: `made` bytes, a line of which says where it stands */
  size_t made;
  const char *type; /* NULL: libcurl's guess */
};

/* POSTs the parts; `headers` as of harness_http. */
void form_post(struct harness *h, const char *path, const char *const headers[], const struct form_part *parts, size_t count,
               struct harness_reply *ret_reply);
/* The content of a made file; malloc'd. */
char *form_made(size_t bytes);

#endif
