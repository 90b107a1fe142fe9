/* res_docs.c - the contract for machines. Both files are compiled in (CMakeLists.txt, autodb_embed), so what is served is what was built.
 */
#include "api/res_docs.h"

#include "api/router.h"

static enum status get_yaml(struct request *req, struct error *err) {
  (void)err;
  reply_raw(req, 200, "application/yaml; charset=utf-8", openapi_yaml, openapi_yaml_len);
  return OK;
}

static enum status get_json(struct request *req, struct error *err) {
  (void)err;
  reply_raw(req, 200, "application/json", openapi_json, openapi_json_len);
  return OK;
}

const struct route docs_routes[] = {
    {.method = HTTP_GET, .pattern = "/openapi.yaml", .handler = get_yaml},
    {.method = HTTP_GET, .pattern = "/openapi.json", .handler = get_json},
    {0},
};
