/* multipart_head.h - the head of a part, and the Content-Type of the whole: what multipart.c reads of header lines. */
#ifndef AUTODB_API_MULTIPART_HEAD_H
#define AUTODB_API_MULTIPART_HEAD_H

#include "api/multipart.h"

/* The boundary of "multipart/form-data; boundary=…". */
MUST_CHECK enum status multipart_boundary(const char *content_type, char *out, size_t size, struct error *err);
/* A whole head with its blank line, NUL-terminated; it is written to, and the part's strings lie in it. */
MUST_CHECK enum status multipart_head_parse(char *head, size_t len, struct multipart_part *ret_part, struct error *err);

#endif
