/* token_file.h - an approval token on its way from `autodb analyze` to `autodb execute`: in a file only its owner may read. */
#ifndef AUTODB_TOKEN_FILE_H
#define AUTODB_TOKEN_FILE_H

#include "common/error.h"

/* Replaces what the file holds; refuses what is no regular file, links included. */
MUST_CHECK enum status token_file_write(const char *path, const char *token, struct error *err);

#endif
