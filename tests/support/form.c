/* form.c - see form.h. */
#include "tests/support/form.h"

#include <curl/curl.h>

struct maker {
  size_t at, size;
};

/* Sixteen bytes a line: what stands where depends on the place alone. */
static void make(char *out, size_t at, size_t len) {
  for (size_t i = 0; i < len; i++) {
    char line[17];
    snprintf(line, sizeof line, "line %10zu\n", (at + i) / 16);
    out[i] = line[(at + i) % 16];
    while ((at + i + 1) % 16 && i + 1 < len) {
      i++;
      out[i] = line[(at + i) % 16];
    }
  }
}

char *form_made(size_t bytes) {
  char *text = malloc(bytes + 1);
  assert_non_null(text);
  make(text, 0, bytes);
  text[bytes] = 0;
  return text;
}

static size_t on_read(char *out, size_t size, size_t count, void *arg) {
  struct maker *maker = arg;
  size_t len = size * count < maker->size - maker->at ? size * count : maker->size - maker->at;
  make(out, maker->at, len);
  maker->at += len;
  return len;
}

static size_t collect(char *data, size_t size, size_t count, void *arg) {
  FILE *file = arg;
  return fwrite(data, size, count, file) * size;
}

static void add_part(curl_mime *mime, const struct form_part *part, struct maker *maker) {
  curl_mimepart *added = curl_mime_addpart(mime);
  curl_mime_name(added, part->field ? part->field : "files");
  if (part->file) curl_mime_filename(added, part->file);
  if (part->type) curl_mime_type(added, part->type);
  *maker = (struct maker){.size = part->made};
  if (part->text)
    curl_mime_data(added, part->text, CURL_ZERO_TERMINATED);
  else
    curl_mime_data_cb(added, (curl_off_t)part->made, on_read, NULL, NULL, maker);
}

static struct curl_slist *header_list(const struct harness *h, const char *const headers[]) {
  char line[128];
  bool has_key = false;
  struct curl_slist *list = curl_slist_append(NULL, "Expect:");
  for (int i = 0; headers && headers[i]; i++) {
    list = curl_slist_append(list, headers[i]);
    has_key |= strncasecmp(headers[i], "X-API-Key:", 10) == 0;
  }
  snprintf(line, sizeof line, "X-API-Key: %s", h->api_key);
  return has_key ? list : curl_slist_append(list, line);
}

void form_post(struct harness *h, const char *path, const char *const headers[], const struct form_part *parts, size_t count,
               struct harness_reply *ret_reply) {
  struct maker makers[64];
  char url[512], *head = NULL, *body = NULL;
  size_t head_len = 0, body_len = 0;
  assert_true(count <= 64);
  CURL *curl = curl_easy_init();
  curl_mime *mime = curl_mime_init(curl);
  struct curl_slist *list = header_list(h, headers);
  FILE *head_file = open_memstream(&head, &head_len), *body_file = open_memstream(&body, &body_len);
  for (size_t i = 0; i < count; i++) add_part(mime, &parts[i], &makers[i]);
  snprintf(url, sizeof url, "%s%s", h->api_url, path);
  curl_easy_setopt(curl, CURLOPT_URL, url);
  curl_easy_setopt(curl, CURLOPT_PROXY, "");
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 90000L);
  curl_easy_setopt(curl, CURLOPT_MIMEPOST, mime);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, body_file);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, collect);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, head_file);
  CURLcode code = curl_easy_perform(curl);
  fclose(head_file);
  fclose(body_file);
  *ret_reply = (struct harness_reply){.headers = head, .body = body, .body_len = body_len};
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &ret_reply->status);
  if (code != CURLE_OK && !ret_reply->status) fprintf(stderr, "POST %s: %s\n", path, curl_easy_strerror(code));
  ret_reply->json = json_loadb(body, body_len, JSON_DECODE_ANY, NULL);
  curl_mime_free(mime);
  curl_slist_free_all(list);
  curl_easy_cleanup(curl);
}
