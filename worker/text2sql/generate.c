/* generate.c - the pipeline, top to bottom: what is known, a statement, its check, one corrected attempt, the run, the answer.
 *
 * Who writes the statement makes no difference to what happens to it then: names are resolved, the guard decides, the session only reads.
 */
#include "worker/text2sql/generate.h"

#include "common/buf.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/log.h"
#include "worker/llm/ledger.h"
#include "worker/llm/llm.h"
#include "worker/query/session.h"
#include "worker/retrieval/retrieval.h"
#include "worker/schema/store.h"
#include "worker/text2sql/answer.h"
#include "worker/text2sql/model.h"
#include "worker/text2sql/values_live.h"
#include "worker/text2sql/verified.h"

#define SCHEMA_DEFAULT 5
#define DOCUMENTS_DEFAULT 3
#define VERIFIED_GIVEN 8 /* to a model, as examples */
#define ATTEMPTS_MAX 2

struct pipeline {
  struct job *job;
  const char *question;
  struct snapshot *snapshot;
  struct retrieval retrieval;
  struct verified_list verified;
  struct query_session *session; /* see session_of */
  struct error why;
  struct values_live live;
  struct value_source values;
  struct generator_request request;
  struct generator_answer answer;
  bool model;       /* the language model writes; else the built-in parser */
  const char *note; /* why it does not, where one is configured; or NULL */
  const json_t *samples;
  const char *generator;
  int attempts;
  struct generator_usage used;
  struct guarded *guarded; /* NULL: there is no statement that may run */
  json_t *result;
};

/* --- what is known --- */

static enum status take_terms(struct pipeline *pipeline, struct error *err) {
  struct glossary glossary = {0};
  enum status status = retrieval_glossary(pipeline->job, pipeline->question, &glossary, err);
  struct generator_term *terms = status ? NULL : arena_calloc(pipeline->job->arena, glossary.count + 1, sizeof *terms);
  if (status) return status;
  if (!terms) return error_oom(err);
  for (size_t i = 0; i < glossary.count; i++) {
    const struct glossary_entry *entry = &glossary.entries[i];
    terms[i] = (struct generator_term){.name = entry->term, .source = entry->name};
    *(entry->is_expression ? &terms[i].expression : &terms[i].stands_for) = entry->meaning;
  }
  pipeline->request.terms = terms;
  pipeline->request.term_count = glossary.count;
  return OK;
}

/* The built-in parser sees the whole schema; a model what was found. */
static enum status take_context(struct pipeline *pipeline, struct error *err) {
  struct job *job = pipeline->job;
  struct retrieval_query query = {.text = pipeline->question,
                                  .max_tables = (int)json_int(job->payload, "max_schema_chunks", SCHEMA_DEFAULT),
                                  .max_documents = (int)json_int(job->payload, "max_doc_chunks", DOCUMENTS_DEFAULT)};
  job_progress(job, 15, "context", NULL);
  enum status status = retrieval_search(job, pipeline->snapshot, &query, &pipeline->retrieval, err);
  if (!status) status = take_terms(pipeline, err);
  if (!status) status = verified_load(job, pipeline->question, &pipeline->verified, err);
  if (status) return status;
  const struct snap_table **tables = arena_calloc(job->arena, pipeline->retrieval.table_count + 1, sizeof *tables);
  if (!tables) return error_oom(err);
  for (size_t i = 0; i < pipeline->retrieval.table_count; i++) tables[i] = pipeline->retrieval.tables[i].table;
  pipeline->request.retrieval = &pipeline->retrieval;
  pipeline->request.verified = pipeline->verified.items;
  pipeline->request.verified_count = pipeline->verified.count < VERIFIED_GIVEN ? pipeline->verified.count : VERIFIED_GIVEN;
  if (pipeline->model && pipeline->retrieval.table_count) {
    pipeline->request.relevant = tables;
    pipeline->request.relevant_count = pipeline->retrieval.table_count;
  }
  return OK;
}

/* NULL: none could be had; why says it. It lives from its first use to the end of the job, but never while a model thinks. */
static struct query_session *session_of(struct pipeline *pipeline) {
  if (!pipeline->session && !pipeline->why.status && query_session_open(pipeline->job, &pipeline->session, &pipeline->why))
    pipeline->session = NULL;
  return pipeline->session;
}

/* Frequent values of the tables found, for the model; without them it writes all the same. */
static void take_samples(struct pipeline *pipeline) {
  ERROR_AUTO away = {0};
  if (!pipeline->model || !pipeline->job->cfg->llm_samples || !session_of(pipeline)) return;
  if (!query_session_begin(pipeline->session, NULL, 0, &away)) {
    struct values_live live = values_live_session(pipeline->session);
    pipeline->samples = values_live_samples(&live, pipeline->job->arena, pipeline->request.relevant, pipeline->request.relevant_count);
  }
  query_session_close(pipeline->session);
  pipeline->session = NULL;
}

/* --- a statement --- */

static void add_usage(struct pipeline *pipeline) {
  if (!pipeline->answer.usage) return;
  pipeline->used.input_tokens += pipeline->answer.usage->input_tokens;
  pipeline->used.output_tokens += pipeline->answer.usage->output_tokens;
  ledger_add(pipeline->job, pipeline->answer.usage->model, pipeline->answer.usage->input_tokens, pipeline->answer.usage->output_tokens);
}

/* Who writes: the model, if there is one and the owner has tokens left for today. */
static void choose_writer(struct pipeline *pipeline) {
  int64_t limit;
  pipeline->model = llm_configured(pipeline->job->cfg);
  if (!pipeline->model || ledger_room(pipeline->job, &limit)) return;
  pipeline->model = false;
  pipeline->note = arena_printf(pipeline->job->arena, "today's %lld tokens of the language model are used up: the built-in parser answers",
                                (long long)limit);
}

/* The parser looks words up in the client's data, in the transaction in which its statement runs then. A database that is away costs it
 * those words, no more. */
static enum status parse_question(struct pipeline *pipeline, struct error *err) {
  ERROR_AUTO away = {0};
  struct query_session *session = session_of(pipeline);
  if (session && !query_session_begin(session, NULL, 0, &away)) {
    pipeline->live = values_live_session(session);
    pipeline->values = values_live_source(&pipeline->live);
    pipeline->request.values = &pipeline->values;
  }
  return generator_builtin.generate(&pipeline->request, pipeline->job->arena, &pipeline->answer, err);
}

static enum status generate_once(struct pipeline *pipeline, struct error *err) {
  struct job *job = pipeline->job;
  pipeline->attempts++;
  pipeline->answer = (struct generator_answer){.reasoning = ""};
  if (pipeline->attempts == 1 &&
      verified_answer(&pipeline->verified, pipeline->question, pipeline->snapshot, job->arena, &pipeline->answer)) {
    pipeline->generator = "verified_query";
    return OK;
  }
  if (!pipeline->model) {
    pipeline->generator = generator_builtin.name;
    return parse_question(pipeline, err);
  }
  pipeline->generator = job->cfg->llm_provider;
  enum status status = model_generate(&pipeline->request, pipeline->samples, job->arena, &pipeline->answer, err);
  add_usage(pipeline);
  return status;
}

/* What was wrong, as whoever writes again has to know it: the message, and the nearest names. */
static const char *failure_text(struct pipeline *pipeline, const struct error *err) {
  size_t index;
  json_t *problem;
  BUF_AUTO text;
  buf_init(&text, LIMIT_GUARD_SQL_BYTES);
  buf_puts(&text, err->message);
  json_array_foreach(json_object_get(err->details, "unresolved"), index, problem) {
    const json_t *near = json_object_get(problem, "suggestions");
    buf_printf(&text, "\n%s", json_str(problem, "message", ""));
    for (size_t i = 0; i < json_array_size(near); i++)
      buf_printf(&text, "%s%s",
                 i ? ", " : " - nearest: ", json_string_value(json_array_get(near, i)) ? json_string_value(json_array_get(near, i)) : "");
  }
  return buf_ok(&text) ? arena_strndup(pipeline->job->arena, buf_str(&text), text.len) : NULL;
}

static enum status check(struct pipeline *pipeline, struct error *err) {
  const struct guard_rules rules = {.functions = pipeline->job->cfg->guard_functions};
  return guard_check(pipeline->snapshot, pipeline->answer.sql, strlen(pipeline->answer.sql), &rules, pipeline->job->arena,
                     &pipeline->guarded, err);
}

/* A statement that may run, a question back, or err says what became of the last attempt. A deterministic writer would write the same
 * again: only a model, or whoever comes after a verified query, gets another try. */
static enum status write_statement(struct pipeline *pipeline, struct error *err) {
  for (;;) {
    error_clear(err);
    *err = (struct error){0};
    job_progress(pipeline->job, 30 + 20 * pipeline->attempts, "generate", NULL);
    enum status status = generate_once(pipeline, err);
    if (!status && pipeline->answer.sql) status = check(pipeline, err);
    bool again = status == ERR_VALIDATION && pipeline->attempts < ATTEMPTS_MAX && strcmp(pipeline->generator, generator_builtin.name) != 0;
    if (!again) return status;
    pipeline->request.failed_sql = pipeline->answer.sql ? pipeline->answer.sql : "(nothing)";
    pipeline->request.failure = failure_text(pipeline, err);
    log_event(LOG_INFO, "a generated statement is refused", "job", pipeline->job->id, "code", err->code, "reason", err->message, NULL);
  }
}

/* --- the answer --- */

static void put_error(json_t *result, const struct error *err) { json_object_set_new(result, "execution_error", error_json(err)); }

static json_t *names_of(const struct error *err, const char *kind) {
  size_t index;
  json_t *problem, *names = json_array();
  json_array_foreach(json_object_get(err->details, "unresolved"), index, problem) if (strcmp(json_str(problem, "kind", ""), kind) == 0)
      json_append_str(names, json_str(problem, "name", ""));
  return names;
}

static json_t *tables_read(const struct pipeline *pipeline) {
  if (!pipeline->guarded) return json_strings(pipeline->answer.tables, pipeline->answer.table_count);
  json_t *tables = json_array();
  const struct query_resolution *resolution = pipeline->guarded->resolution;
  for (size_t i = 0; i < resolution->relation_count; i++) {
    const struct snap_table *table = resolution->relations[i].table;
    bool new = table != NULL;
    for (size_t k = 0; new &&k < json_array_size(tables); k++)
      new = strcmp(json_string_value(json_array_get(tables, k)), table->qualified) != 0;
    if (new) json_append_str(tables, table->qualified);
  }
  return tables;
}

static json_t *clarification_json(const struct generator_clarification *clarify) {
  if (!clarify) return json_null();
  return json_pack("{s:s, s:o}", "question", clarify->question, "choices", json_strings(clarify->choices, clarify->choice_count));
}

static json_t *warnings_json(const struct pipeline *pipeline) {
  json_t *warnings = json_strings(pipeline->answer.warnings, pipeline->answer.warning_count);
  for (size_t i = 0; pipeline->guarded && i < pipeline->guarded->warning_count; i++)
    json_append_str(warnings, pipeline->guarded->warnings[i]);
  if (pipeline->retrieval.warning) json_append_str(warnings, pipeline->retrieval.warning);
  if (pipeline->note) json_append_str(warnings, pipeline->note);
  return warnings;
}

static void describe(struct pipeline *pipeline, const struct error *failed) {
  json_t *result = pipeline->result;
  const struct generator_answer *answer = &pipeline->answer;
  json_set_str(result, "connection_id", pipeline->job->connection_id);
  json_set_str(result, "natural_language_query", pipeline->question);
  json_set_str(result, "sql", answer->sql);
  json_object_set_new(result, "confidence", json_real(answer->sql ? answer->confidence : 0));
  json_set_str(result, "reasoning", answer->reasoning);
  json_object_set_new(result, "referenced_tables", tables_read(pipeline));
  json_object_set_new(result, "warnings", warnings_json(pipeline));
  json_object_set_new(result, "sql_valid", json_boolean(pipeline->guarded != NULL));
  json_object_set_new(result, "hallucinated_tables", names_of(failed, "table"));
  json_object_set_new(result, "hallucinated_columns", names_of(failed, "column"));
  json_object_set_new(result, "schema_chunks_used", json_integer((json_int_t)pipeline->retrieval.table_count));
  json_object_set_new(result, "doc_chunks_used", json_integer((json_int_t)pipeline->retrieval.document_count));
  json_object_set_new(result, "attempts", json_integer(pipeline->attempts));
  json_set_str(result, "generator", pipeline->generator);
  json_set_str(result, "verified_query_id", answer->verified_id);
  json_object_set_new(result, "clarification", answer->sql || failed->status ? json_null() : clarification_json(answer->clarify));
  json_object_set_new(result, "columns", json_array());
  json_object_set_new(result, "rows", json_null());
  json_object_set_new(result, "row_count", json_integer(0));
  json_object_set_new(result, "truncated", json_false());
  json_object_set_new(result, "execution_error", json_null());
  json_object_set_new(result, "usage",
                      pipeline->used.input_tokens || pipeline->used.output_tokens
                          ? json_pack("{s:I, s:I}", "input_tokens", (json_int_t)pipeline->used.input_tokens, "output_tokens",
                                      (json_int_t)pipeline->used.output_tokens)
                          : json_null());
  if (failed->status) put_error(result, failed);
}

static const char *choices_markdown(struct pipeline *pipeline) {
  const struct generator_clarification *clarify = pipeline->answer.clarify;
  BUF_AUTO text;
  buf_init(&text, 64 * 1024);
  if (!clarify) return "The question could not be answered.";
  const char *question = answer_escape(clarify->question, pipeline->job->arena);
  buf_puts(&text, question ? question : "");
  for (size_t i = 0; i < clarify->choice_count; i++) {
    const char *choice = answer_escape(clarify->choices[i], pipeline->job->arena);
    buf_printf(&text, "%s- %s", i ? "\n" : "\n\n", choice ? choice : "");
  }
  return arena_strndup(pipeline->job->arena, buf_str(&text), text.len);
}

/* In a fence that the statement cannot end. */
static const char *sql_markdown(struct pipeline *pipeline, const char *after) {
  const char *fence = strstr(pipeline->answer.sql, "```") ? "``````````" : "```";
  return arena_printf(pipeline->job->arena, "%ssql\n%s\n%s%s", fence, pipeline->answer.sql, fence, after);
}

static const char *error_markdown(struct pipeline *pipeline, const struct error *err) {
  const char *said = answer_escape(err->message, pipeline->job->arena);
  const char *text = arena_printf(pipeline->job->arena, "**%s**: %s", err->code, said ? said : "");
  if (!pipeline->answer.sql || !text) return text;
  return sql_markdown(pipeline, arena_printf(pipeline->job->arena, "\n\n%s", text));
}

static enum status run_it(struct pipeline *pipeline, struct query_result **ret_rows, struct error *err) {
  struct query_limits limits = {.rows = (int)json_int(pipeline->job->payload, "row_limit", LIMIT_QUERY_ROWS)};
  if (!session_of(pipeline))
    return error_set_code(err, ERR_UNAVAILABLE, "EXECUTION_FAILED", "the database can't be reached: %.800s", pipeline->why.message);
  job_progress(pipeline->job, 75, "execute", NULL);
  enum status status = query_session_run(pipeline->session, pipeline->guarded, &limits, pipeline->job->arena, ret_rows, err);
  if (status == ERR_UNAVAILABLE) snprintf(err->code, sizeof err->code, "EXECUTION_FAILED");
  return status;
}

static const char *finish(struct pipeline *pipeline, const struct error *failed) {
  ERROR_AUTO err = {0};
  struct query_result *rows = NULL;
  if (failed->status) return error_markdown(pipeline, failed);
  if (!pipeline->guarded) return choices_markdown(pipeline);
  if (!json_bool(pipeline->job->payload, "execute", true)) return sql_markdown(pipeline, "");
  if (run_it(pipeline, &rows, &err)) {
    put_error(pipeline->result, &err);
    return error_markdown(pipeline, &err);
  }
  answer_rows(pipeline->result, rows);
  return answer_markdown(rows, pipeline->job->arena);
}

static enum status run_pipeline(struct pipeline *pipeline, struct error *err) {
  ERROR_AUTO failed = {0};
  enum status status = store_current(pipeline->job, &pipeline->snapshot, err);
  if (status) return status;
  pipeline->request = (struct generator_request){.cfg = pipeline->job->cfg, .question = pipeline->question, .snapshot = pipeline->snapshot};
  choose_writer(pipeline);
  status = take_context(pipeline, err);
  if (status) return status;
  take_samples(pipeline);
  status = write_statement(pipeline, &failed);
  if (status && status != ERR_VALIDATION && strcmp(failed.code, "PROVIDER_UNAVAILABLE") != 0)
    return error_set_code(err, status, failed.code, "%s", failed.message);
  describe(pipeline, &failed);
  const char *markdown = finish(pipeline, &failed);
  if (!markdown) return error_oom(err);
  json_set_str(pipeline->result, "markdown_output", markdown);
  if (pipeline->answer.verified_id) verified_used(pipeline->job, pipeline->answer.verified_id);
  return OK;
}

enum status generate_run(struct job *job, json_t **ret_result, struct error *err) {
  struct pipeline pipeline = {.job = job, .question = json_str(job->payload, "query", ""), .generator = generator_builtin.name};
  if (!*pipeline.question) return error_add_field(err, "query", "must be the question, in words");
  if (!job->connection_id) return error_add_field(err, "connection_id", "must name a connection");
  pipeline.result = json_object();
  enum status status = pipeline.result ? run_pipeline(&pipeline, err) : error_oom(err);
  query_session_close(pipeline.session);
  error_clear(&pipeline.why);
  if (status)
    json_decref(pipeline.result);
  else
    *ret_result = pipeline.result;
  return status;
}
