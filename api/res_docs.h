/* res_docs.h - the embedded OpenAPI documents. */
#ifndef AUTODB_API_RES_DOCS_H
#define AUTODB_API_RES_DOCS_H

#include <stddef.h>

extern const unsigned char openapi_yaml[], openapi_json[];
extern const size_t openapi_yaml_len, openapi_json_len;

#endif
