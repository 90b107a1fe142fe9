/* Options, failures and files, as every command of `autodb` handles them. */
#include "cli/cli.h"

#include <errno.h>
#include <stdarg.h>

#include "common/json.h"

int cli_usage(const struct cli_command *self, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  fprintf(stderr, "autodb %s: ", self->name);
  vfprintf(stderr, fmt, args);
  va_end(args);
  fprintf(stderr, "\nusage: autodb %s %s\n", self->name, self->args);
  return CLI_USAGE;
}

static const struct cli_option *find_option(const struct cli_option *options, size_t count, const char *arg) {
  size_t len = strcspn(arg, "=");
  for (size_t i = 0; i < count; i++)
    if (strlen(options[i].name) == len && strncmp(options[i].name, arg, len) == 0) return &options[i];
  return NULL;
}

static bool take_value(const struct cli_command *self, const struct cli_option *option, const char *value) {
  if (option->list && option->list->count == CLI_LIST_MAX)
    return cli_usage(self, "%s is given more than %d times", option->name, CLI_LIST_MAX), false;
  if (option->list)
    option->list->items[option->list->count++] = value;
  else
    *option->value = value;
  return true;
}

bool cli_args(const struct cli_command *self, int argc, char **argv, const struct cli_option *options, size_t count,
              const char **positionals, int max, int *ret_count) {
  int found = 0;
  bool only_positionals = false;
  for (int i = 0; i < argc; i++) {
    const char *arg = argv[i];
    if (!only_positionals && strcmp(arg, "--") == 0) {
      only_positionals = true;
      continue;
    }
    if (only_positionals || arg[0] != '-' || arg[1] == 0) {
      if (found == max) return cli_usage(self, "`%s` is one argument too many", arg), false;
      positionals[found++] = arg;
      continue;
    }
    const struct cli_option *option = find_option(options, count, arg);
    if (!option) return cli_usage(self, "there is no option %s", arg), false;
    const char *inlined = strchr(arg, '=');
    if (option->flag && inlined) return cli_usage(self, "%s takes no value", option->name), false;
    if (!option->flag && !inlined && ++i == argc) return cli_usage(self, "%s needs a value", option->name), false;
    if (option->flag)
      *option->flag = true;
    else if (!take_value(self, option, inlined ? inlined + 1 : argv[i]))
      return false;
  }
  *ret_count = found;
  return true;
}

int cli_fail(const struct error *err, const char *hint) {
  fprintf(stderr, "autodb: %s\n", err->message);
  size_t index;
  json_t *field;
  json_array_foreach(json_object_get(err->details, "fields"), index, field) {
    const char *message = json_str(field, "message", "?");
    if (!strstr(err->message, message))
      fprintf(stderr, "  %s: %s\n", json_str(field, "path", "?"), message); // one alone is the message itself
  }
  if (hint) fprintf(stderr, "  %s\n", hint);
  return CLI_FAILED;
}

static enum status read_stream(FILE *file, const char *path, size_t max, char **ret_text, size_t *ret_len, struct error *err) {
  size_t cap = 65536, len = 0;
  char *text = malloc(cap);
  while (text) {
    len += fread(text + len, 1, cap - len - 1, file);
    if (len + 1 < cap || len > max) break;
    char *grown = realloc(text, cap *= 2);
    if (!grown) free(text);
    text = grown;
  }
  if (!text) return error_oom(err);
  if (ferror(file) || len > max) {
    free(text);
    if (len > max) return error_set(err, ERR_TOO_LARGE, "%s is larger than %zu bytes", path, max);
    return error_set(err, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
  }
  text[len] = 0;
  *ret_text = text;
  *ret_len = len;
  return OK;
}

enum status cli_read_file(const char *path, size_t max, char **ret_text, size_t *ret_len, struct error *err) {
  if (strcmp(path, "-") == 0) return read_stream(stdin, "standard input", max, ret_text, ret_len, err);
  FILE *file = fopen(path, "re");
  if (!file) return error_set(err, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
  enum status status = read_stream(file, path, max, ret_text, ret_len, err);
  fclose(file);
  return status;
}
