/* check_json.c - the reports as they are, for programs. */
#include "cli/check.h"
#include "common/json.h"

static const char *const outcome_names[] = {[CHECK_PENDING] = "skipped", [CHECK_REPORTED] = NULL,       [CHECK_UNREADABLE] = "unreadable",
                                            [CHECK_CRASHED] = "crashed", [CHECK_TIMED_OUT] = "timeout", [CHECK_FAILED] = "failed"};

static json_t *file_json(const struct check_file *file) {
  json_t *json = json_object(), *error = json_null();
  json_set_str(json, "path", file->path);
  json_set_str(json, "format", check_format_name(file->format));
  json_object_set(json, "report", file->result ? file->result : json_null());
  if (outcome_names[file->outcome])
    error = json_pack("{s:s, s:s}", "code", outcome_names[file->outcome], "message", file->message ? file->message : "");
  json_object_set_new(json, "error", error);
  json_set_str(json, "sandbox", file->result ? check_result_sandbox(file->result, NULL) : NULL);
  return json;
}

/* What could not be replayed makes the schema of every later file doubtful. */
static json_t *problems_json(const struct check_list *list) {
  json_t *problems = json_array();
  for (size_t i = 0; i < list->count; i++) {
    const struct check_file *file = &list->items[i];
    const char *message = file->problem ? file->problem : !file->reported ? file->message : NULL;
    if (message) json_array_append_new(problems, json_pack("{s:s, s:s}", "path", file->path, "message", message));
  }
  return problems;
}

void check_print_json(FILE *out, const struct check_list *list, const struct check_summary *sum) {
  json_t *root = json_object(), *files = json_array();
  for (size_t i = 0; i < list->count; i++)
    if (list->items[i].reported) json_array_append_new(files, file_json(&list->items[i]));
  json_object_set_new(root, "files", files);
  json_object_set_new(root, "history_problems", problems_json(list));
  json_object_set_new(root, "summary",
                      json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:b}", "files", sum->files, "history",
                                (int)list->count - sum->files, "not_checked", sum->failed, "errors", sum->errors, "warnings", sum->warnings,
                                "infos", sum->infos, "suppressed", sum->suppressed, "failing", sum->sandbox_failed, "risk_score",
                                sum->score, "risk_category", analysis_category(sum->score), "over_threshold", sum->over));
  if (json_dumpf(root, out, JSON_INDENT(2)) == 0) putc('\n', out);
  json_decref(root);
}
