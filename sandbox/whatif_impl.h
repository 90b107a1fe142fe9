/* whatif_impl.h - what the files of whatif.h share. */
#ifndef AUTODB_SANDBOX_WHATIF_IMPL_H
#define AUTODB_SANDBOX_WHATIF_IMPL_H

#include "sandbox/whatif.h"

/* whatif_sql.c; parameters are said there */
extern const char whatif_apply_settings_sql[], whatif_find_relations_sql[], whatif_set_relations_sql[], whatif_columns_sql[],
    whatif_forget_columns_sql[];

#define WHATIF_PAGE 8192
#define WHATIF_SEGMENT_PAGES 131072 /* 1 GiB (RELSEG_SIZE) */

/* --- whatif_files.c: the server's data directory, which may hold anything: links are never followed --- */

/* path as pg_relation_filepath() gives it. Makes the file and its further segments that long, sparse; what they hold stays. */
MUST_CHECK enum status whatif_file_extend(int root_fd, const char *path, int64_t pages, struct error *err);
/* Cuts the first segment to nothing; whatif_file_extend brings it back. */
MUST_CHECK enum status whatif_file_empty(int root_fd, const char *path, struct error *err);
/* A new file beside `path`, called `node`: a B-tree without entries, of that many levels above its leaves. */
MUST_CHECK enum status whatif_file_btree(int root_fd, const char *path, uint32_t node, int height, int64_t pages, struct error *err);

#endif
