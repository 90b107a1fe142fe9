/* template.h - a data directory made once per server and copied for every sandbox. */
#ifndef AUTODB_SANDBOX_TEMPLATE_H
#define AUTODB_SANDBOX_TEMPLATE_H

#include "common/config.h"
#include "common/error.h"
#include "servers.h"
#include "store.h"

struct template {
  char data[STORE_PATH]; /* the directory to copy */
  int version_num;       /* 170012 */
  char version[32];      /* "17.12" */
};

/* Makes it when it isn't there (0.8 s); safe against others making it at the same moment. */
MUST_CHECK enum status template_get(const struct config *cfg, const struct server *server, struct template *ret_template,
                                    struct error *err);

#endif
