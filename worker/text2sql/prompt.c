/* prompt.c - see prompt.h. */
#include "worker/text2sql/prompt.h"

#include <time.h>

#include "common/buf.h"
#include "common/json.h"
#include "common/limits.h"
#include "worker/retrieval/retrieval.h"
#include "worker/sql/text.h"

extern const unsigned char generate_md[];
extern const size_t generate_md_len;

#define COLUMNS_SHOWN 200 /* of one table */
#define LABELS_SHOWN 30
#define COMMENT_SHOWN 300 /* bytes */
#define NAME_SHOWN 300
#define PASSAGE_SHOWN 1500
#define VERIFIED_SHOWN 8
#define TERMS_SHOWN 40

const char *prompt_system(struct arena *arena) { return arena_strndup(arena, (const char *)generate_md, generate_md_len); }

/* --- data --- */

/* Nothing in data can look like one of our tags: "<" is only written where no letter and no "/" follows. */
static void put_data(struct buf *out, const char *text, size_t max) {
  size_t len = strlen(text);
  bool cut = len > max;
  if (cut) len = max;
  while (cut && len && ((unsigned char)text[len] & 0xc0) == 0x80) len--;
  for (size_t i = 0; i < len; i++) {
    buf_putc(out, text[i]);
    bool tag = text[i] == '<' && i + 1 < len && (text[i + 1] == '/' || (text[i + 1] | 0x20) >= 'a');
    if (tag) buf_putc(out, ' ');
  }
  if (cut) buf_puts(out, " …");
}

static void put_line(struct buf *out, const char *text, size_t max) { /* a comment: line ends would end it */
  BUF_AUTO line;
  buf_init(&line, LIMIT_PROMPT_BYTES);
  for (; *text && line.len < max + 4; text++) buf_putc(&line, *text == '\n' || *text == '\r' ? ' ' : *text);
  put_data(out, buf_str(&line), max);
}

/* What the schema calls something, a type with its modifier: a name may hold anything. */
static void put_name(struct buf *out, const char *name) { put_line(out, name ? name : "", NAME_SHOWN); }

/* --- tables --- */

static const struct snap_enum *enum_of(const struct snapshot *snapshot, const char *type) {
  for (size_t i = 0; i < snapshot->enum_count; i++)
    if (snapshot_type_is(type, snapshot->enums[i].schema, snapshot->enums[i].name)) return &snapshot->enums[i];
  return NULL;
}

static void put_values(struct buf *out, const char *head, const char *const *labels, size_t count, struct arena *arena) {
  buf_puts(out, head);
  for (size_t i = 0; i < count && i < LABELS_SHOWN; i++) {
    const char *literal = sql_literal(arena, labels[i]);
    if (i) buf_puts(out, ", ");
    put_line(out, literal ? literal : "", COMMENT_SHOWN);
  }
  if (count > LABELS_SHOWN) buf_puts(out, ", …");
}

static void put_samples(struct buf *out, const struct snap_table *table, const struct snap_column *column, const json_t *samples,
                        struct arena *arena) {
  const char *key = arena_printf(arena, "%s.%s", table->qualified, column->name);
  const json_t *values = key ? json_object_get(samples, key) : NULL;
  const char *shown[LABELS_SHOWN];
  size_t count = 0;
  for (size_t i = 0; i < json_array_size(values) && count < LABELS_SHOWN; i++)
    if (json_is_string(json_array_get(values, i))) shown[count++] = json_string_value(json_array_get(values, i));
  if (count) put_values(out, " values such as ", shown, count, arena);
}

static void put_column(struct buf *out, const struct generator_request *request, const struct snap_table *table,
                       const struct snap_column *column, bool last, const json_t *samples, struct arena *arena) {
  const struct snap_enum *labels = enum_of(request->snapshot, column->type);
  buf_puts(out, "  ");
  put_name(out, sql_ident(arena, column->name));
  buf_putc(out, ' ');
  put_name(out, column->type);
  buf_printf(out, "%s%s --", column->not_null ? " NOT NULL" : "", last ? "" : ",");
  if (column->comment) {
    buf_putc(out, ' ');
    put_line(out, column->comment, COMMENT_SHOWN);
  }
  if (labels)
    put_values(out, " one of ", labels->labels, labels->label_count, arena);
  else if (samples)
    put_samples(out, table, column, samples, arena);
  buf_putc(out, '\n');
}

static void put_constraints(struct buf *out, const struct snap_table *table) {
  for (size_t i = 0; i < table->constraint_count; i++) {
    const struct snap_constraint *constraint = &table->constraints[i];
    if (!strchr("puc", constraint->type)) continue;
    buf_puts(out, "  -- ");
    put_line(out, constraint->definition, COMMENT_SHOWN);
    buf_putc(out, '\n');
  }
}

static void put_table(struct buf *out, const struct generator_request *request, const struct snap_table *table, const json_t *samples,
                      struct arena *arena) {
  bool view = table->kind == SNAP_VIEW || table->kind == SNAP_MATVIEW;
  buf_puts(out, view ? "VIEW " : "TABLE ");
  put_name(out, sql_qualified(arena, table->schema, table->name));
  buf_puts(out, " ( --");
  if (table->rows >= 0) buf_printf(out, " about %lld rows", (long long)table->rows);
  if (table->comment) {
    buf_puts(out, "; ");
    put_line(out, table->comment, COMMENT_SHOWN);
  }
  buf_putc(out, '\n');
  for (size_t i = 0; i < table->column_count && i < COLUMNS_SHOWN; i++)
    put_column(out, request, table, &table->columns[i], i + 1 == table->column_count, samples, arena);
  if (table->column_count > COLUMNS_SHOWN) buf_printf(out, "  -- and %zu columns more\n", table->column_count - COLUMNS_SHOWN);
  put_constraints(out, table);
  buf_puts(out, ")\n");
}

/* The tables in order of relevance, as many as fit. ret_shown: how many. */
static size_t put_tables(struct buf *out, const struct generator_request *request, const json_t *samples, struct arena *arena) {
  size_t count = request->relevant ? request->relevant_count : request->snapshot->table_count, shown = 0;
  for (; shown < count; shown++) {
    BUF_AUTO one;
    buf_init(&one, LIMIT_PROMPT_BYTES);
    put_table(&one, request, request->relevant ? request->relevant[shown] : &request->snapshot->tables[shown], samples, arena);
    if (!buf_ok(&one) || out->len + one.len > LIMIT_PROMPT_SCHEMA_BYTES) break;
    buf_append(out, buf_str(&one), one.len);
  }
  return shown;
}

static bool is_shown(const struct generator_request *request, size_t shown, const struct snap_table *table) {
  for (size_t i = 0; i < shown; i++)
    if ((request->relevant ? request->relevant[i] : &request->snapshot->tables[i]) == table) return true;
  return false;
}

static void put_side(struct buf *out, const struct snap_table *table, const char *column, struct arena *arena) {
  put_name(out, sql_qualified(arena, table->schema, table->name));
  buf_putc(out, '.');
  put_name(out, sql_ident(arena, column));
}

static void put_key(struct buf *out, const struct snap_fk *key, struct arena *arena) {
  for (size_t i = 0; i < key->column_count; i++) {
    if (i) buf_puts(out, " AND ");
    put_side(out, key->table, key->columns[i], arena);
    buf_puts(out, " = ");
    put_side(out, key->ref, key->ref_columns[i], arena);
  }
  buf_putc(out, '\n');
}

static void put_joins(struct buf *out, const struct generator_request *request, size_t shown, struct arena *arena) {
  for (size_t i = 0; i < shown; i++) {
    const struct snap_table *table = request->relevant ? request->relevant[i] : &request->snapshot->tables[i];
    for (size_t k = 0; k < table->fk_count; k++)
      if (table->fks[k].ref && is_shown(request, shown, table->fks[k].ref)) put_key(out, &table->fks[k], arena);
  }
}

/* --- what else is known --- */

static void put_terms(struct buf *out, const struct generator_request *request) {
  for (size_t i = 0; i < request->term_count && i < TERMS_SHOWN; i++) {
    const struct generator_term *term = &request->terms[i];
    put_line(out, term->name, COMMENT_SHOWN);
    buf_puts(out, term->expression ? " = " : ": ");
    put_line(out, term->expression ? term->expression : term->stands_for ? term->stands_for : "", PASSAGE_SHOWN);
    buf_putc(out, '\n');
  }
}

static void put_verified(struct buf *out, const struct generator_request *request) {
  for (size_t i = 0; i < request->verified_count && i < VERIFIED_SHOWN; i++) {
    put_line(out, request->verified[i].question, COMMENT_SHOWN);
    buf_puts(out, "\n  ");
    put_line(out, request->verified[i].sql, PASSAGE_SHOWN);
    buf_putc(out, '\n');
  }
}

static void put_documents(struct buf *out, const struct retrieval *retrieval) {
  for (size_t i = 0; i < retrieval->document_count; i++) {
    const struct retrieval_document *passage = &retrieval->documents[i];
    put_line(out, passage->name, COMMENT_SHOWN);
    if (passage->heading) {
      buf_puts(out, " > ");
      put_line(out, passage->heading, COMMENT_SHOWN);
    }
    buf_puts(out, ":\n");
    put_data(out, passage->text, PASSAGE_SHOWN);
    buf_putc(out, '\n');
  }
}

static void put_failure(struct buf *out, const struct generator_request *request) {
  buf_puts(out, "<earlier_attempt>\n");
  put_data(out, request->failed_sql, LIMIT_GUARD_SQL_BYTES);
  buf_puts(out, "\nwas refused: ");
  put_data(out, request->failure, PASSAGE_SHOWN);
  buf_puts(out, "\n</earlier_attempt>\n");
}

static void put_head(struct buf *out, const struct generator_request *request) {
  char today[32] = "";
  time_t now = time(NULL);
  struct tm utc;
  if (gmtime_r(&now, &utc)) strftime(today, sizeof today, "%A %Y-%m-%d", &utc);
  buf_puts(out, "<question>\n");
  put_data(out, request->question, LIMIT_QUESTION_BYTES);
  buf_puts(out, "\n</question>\n<database>\nPostgreSQL ");
  put_name(out, request->snapshot->server_version);
  buf_puts(out, "; time zone ");
  put_name(out, request->snapshot->timezone ? request->snapshot->timezone : "unknown");
  buf_printf(out, "; today is %s (UTC)\n</database>\n", today);
}

const char *prompt_question(const struct generator_request *request, const json_t *samples, struct arena *arena) {
  BUF_AUTO out;
  buf_init(&out, LIMIT_PROMPT_BYTES);
  put_head(&out, request);
  buf_puts(&out, "<tables>\n");
  size_t shown = put_tables(&out, request, samples, arena);
  buf_puts(&out, "</tables>\n<joins>\n");
  put_joins(&out, request, shown, arena);
  buf_puts(&out, "</joins>\n<terms>\n");
  put_terms(&out, request);
  buf_puts(&out, "</terms>\n<confirmed>\n");
  put_verified(&out, request);
  buf_puts(&out, "</confirmed>\n<documents>\n");
  if (request->retrieval) put_documents(&out, request->retrieval);
  buf_puts(&out, "</documents>\n");
  if (request->failure && request->failed_sql) put_failure(&out, request);
  return buf_ok(&out) ? arena_strndup(arena, buf_str(&out), out.len) : NULL;
}

const json_t *prompt_answer_schema(struct arena *arena) {
  static const char text[] =
      "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"sql\",\"confidence\",\"reasoning\",\"tables\",\"warnings\","
      "\"clarification\"],\"properties\":{\"sql\":{\"type\":[\"string\",\"null\"],\"description\":\"one SELECT without semicolon, or "
      "null\"},"
      "\"confidence\":{\"type\":\"number\",\"minimum\":0,\"maximum\":1},\"reasoning\":{\"type\":\"string\"},"
      "\"tables\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},\"warnings\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},"
      "\"clarification\":{\"type\":[\"object\",\"null\"],\"additionalProperties\":false,\"required\":[\"question\",\"choices\"],"
      "\"properties\":{\"question\":{\"type\":\"string\"},\"choices\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}}}}}";
  return arena_json(arena, json_loads(text, 0, NULL));
}
