/* whatif_sql.c - what production's server is asked, and how its answer is written into the clone's catalogs. See whatif.h. */
#include "sandbox/whatif_impl.h"

/* clang-format off */
#define RELATION_WANTED(schema, name) "($1::text[] IS NULL OR " schema " || '.' || " name " = ANY ($1))"
#define USER_SCHEMA(name) name " !~ '^pg_' AND " name " <> 'information_schema'"

const char whatif_read_relations_sql[] =
  "SELECT coalesce(json_agg(json_build_object('s', n.nspname, 'n', c.relname, 'pages', c.relpages, 'length', CASE WHEN $2::bool AND c.relkind <> 'p' THEN pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::int END, 'rows', c.reltuples, 'visible', c.relallvisible)), '[]') "
  "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
  "LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid "
  "LEFT JOIN pg_catalog.pg_class t ON t.oid = i.indrelid LEFT JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace "
  "WHERE c.relkind IN ('r', 'm', 'p', 'i') AND c.relpersistence <> 't' AND " USER_SCHEMA("n.nspname")
  " AND CASE WHEN i.indrelid IS NULL THEN " RELATION_WANTED("n.nspname", "c.relname") " ELSE " RELATION_WANTED("tn.nspname", "t.relname") " END";

#define READ_COLUMNS(ranges) \
  "SELECT coalesce(json_agg(json_build_object('s', s.schemaname, 't', s.tablename, 'c', s.attname, 'inh', s.inherited, 'null', s.null_frac, " \
  "'width', s.avg_width, 'distinct', s.n_distinct, 'mcv', s.most_common_vals::text, 'mcf', s.most_common_freqs::text, " \
  "'hist', s.histogram_bounds::text, 'corr', s.correlation, 'mce', s.most_common_elems::text, 'mcef', s.most_common_elem_freqs::text, " \
  "'ech', s.elem_count_histogram::text" ranges ")), '[]') FROM pg_catalog.pg_stats s " \
  "WHERE " USER_SCHEMA("s.schemaname") " AND ($1::text[] IS NULL OR s.schemaname || '.' || s.tablename = ANY ($1) OR EXISTS (SELECT FROM pg_catalog.pg_index i " \
  "JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid JOIN pg_catalog.pg_namespace xn ON xn.oid = x.relnamespace JOIN pg_catalog.pg_class t ON t.oid = i.indrelid " \
  "JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace WHERE i.indexprs IS NOT NULL AND x.relname = s.tablename AND xn.nspname = s.schemaname " \
  "AND tn.nspname || '.' || t.relname = ANY ($1)))"

const char *whatif_read_columns_sql(int version_num) {
  return version_num >= 170000 ? READ_COLUMNS(", 'rlh', s.range_length_histogram::text, 'ref', s.range_empty_frac, 'rbh', s.range_bounds_histogram::text")
                               : READ_COLUMNS("");
}

/* Query planning of the manual, sections 19.4 and 19.7, and what values and collations are read by. */
#define SETTINGS \
  "'seq_page_cost', 'random_page_cost', 'cpu_tuple_cost', 'cpu_index_tuple_cost', 'cpu_operator_cost', 'parallel_setup_cost', " \
  "'parallel_tuple_cost', 'min_parallel_table_scan_size', 'min_parallel_index_scan_size', 'effective_cache_size', 'effective_io_concurrency', " \
  "'jit', 'jit_above_cost', 'jit_inline_above_cost', 'jit_optimize_above_cost', 'work_mem', 'hash_mem_multiplier', " \
  "'max_parallel_workers_per_gather', 'parallel_leader_participation', 'enable_async_append', 'enable_bitmapscan', 'enable_gathermerge', " \
  "'enable_group_by_reordering', 'enable_hashagg', 'enable_hashjoin', 'enable_incremental_sort', 'enable_indexscan', 'enable_indexonlyscan', " \
  "'enable_material', 'enable_memoize', 'enable_mergejoin', 'enable_nestloop', 'enable_parallel_append', 'enable_parallel_hash', " \
  "'enable_partition_pruning', 'enable_partitionwise_join', 'enable_partitionwise_aggregate', 'enable_presorted_aggregate', 'enable_seqscan', " \
  "'enable_sort', 'enable_tidscan', 'enable_distinct_reordering', 'enable_self_join_elimination', 'geqo', 'geqo_threshold', 'geqo_effort', " \
  "'geqo_pool_size', 'geqo_generations', 'geqo_selection_bias', 'geqo_seed', 'constraint_exclusion', 'cursor_tuple_fraction', " \
  "'from_collapse_limit', 'join_collapse_limit', 'default_statistics_target', 'recursive_worktable_factor', 'search_path', 'TimeZone', " \
  "'DateStyle', 'IntervalStyle', 'bytea_output', 'extra_float_digits', 'default_text_search_config', 'transform_null_equals'"
const char whatif_read_settings_sql[] =
  "SELECT json_object_agg(name, setting) FROM (SELECT name, pg_catalog.current_setting(name) AS setting FROM pg_catalog.pg_settings "
  "WHERE name IN (" SETTINGS ") UNION ALL SELECT 'lc_collate', datcollate FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) s";

/* $1: settings. Only names of the list are set, whatever the object holds; one this server doesn't know, or whose value it refuses, stays. */
const char whatif_apply_settings_sql[] =
  "SELECT j.key, j.value FROM pg_catalog.json_each_text($1::json) j JOIN pg_catalog.pg_settings p ON p.name = j.key WHERE j.key IN (" SETTINGS ") "
  "AND p.context IN ('user', 'superuser')";

/* $1: relations. For each the clone has: oid, kind, access method, path of its file, pages wanted, height or NULL, name, bytes of an index's key. */
const char whatif_find_relations_sql[] =
  "SELECT c.oid, c.relkind, coalesce(a.amname, ''), coalesce(pg_catalog.pg_relation_filepath(c.oid), ''), coalesce(w.length, w.pages, 0)::bigint, w.height, "
  "w.s || '.' || w.n, coalesce((SELECT sum(x.stawidth) FROM pg_catalog.pg_index i CROSS JOIN LATERAL pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS k(num, at) "
  "JOIN pg_catalog.pg_statistic x ON x.starelid = CASE k.num WHEN 0 THEN c.oid ELSE i.indrelid END AND x.staattnum = CASE k.num WHEN 0 THEN k.at ELSE k.num END AND NOT x.stainherit "
  "WHERE i.indexrelid = c.oid AND k.at <= i.indnkeyatts), 0) FROM pg_catalog.json_to_recordset($1::json) AS w(s text, n text, pages float8, length float8, height int) "
  "JOIN pg_catalog.pg_namespace ns ON ns.nspname = w.s JOIN pg_catalog.pg_class c ON c.relnamespace = ns.oid AND c.relname = w.n "
  "LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam WHERE c.oid >= 16384 AND c.relkind IN ('r', 'm', 'p', 'i') AND " USER_SCHEMA("ns.nspname")
  " ORDER BY c.oid";

const char whatif_set_relations_sql[] =
  "UPDATE pg_catalog.pg_class c SET relpages = least(coalesce(w.pages, 0), 2147483646)::int, reltuples = coalesce(w.rows, -1)::real, "
  "relallvisible = least(coalesce(w.visible, 0), 2147483646)::int FROM pg_catalog.json_to_recordset($1::json) AS w(s text, n text, pages float8, rows float8, visible float8) "
  "JOIN pg_catalog.pg_namespace ns ON ns.nspname = w.s WHERE c.relnamespace = ns.oid AND c.relname = w.n AND c.oid >= 16384 AND c.relkind IN ('r', 'm', 'p', 'i') AND "
  USER_SCHEMA("ns.nspname");

/* A column's type as its statistics have it: of a domain what it is made of (its constraints never run); the B-tree operators are those of
 * the type, or of what it counts as. Types whose input runs code of the client's are left out: composites, ranges made there. */
#define COLUMN_TYPES \
  "wanted AS (SELECT w.*, row_number() OVER () AS at FROM pg_catalog.json_to_recordset($1::json) AS w(s text, t text, c text, inh bool, \"null\" real, width int, \"distinct\" real, " \
  "mcv text, mcf text, hist text, corr real, mce text, mcef text, ech text, rlh text, ref text, rbh text)), " \
  "attributes AS (SELECT w.*, c.oid AS relid, a.attnum, a.attcollation, a.atttypid FROM wanted w JOIN pg_catalog.pg_namespace n ON n.nspname = w.s " \
  "JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.t JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = w.c AND a.attnum > 0 " \
  "WHERE c.oid >= 16384 AND " USER_SCHEMA("n.nspname") "), " \
  "bases AS (WITH RECURSIVE down(id, base) AS (SELECT DISTINCT atttypid, atttypid FROM attributes UNION SELECT d.id, t.typbasetype FROM down d JOIN pg_catalog.pg_type t " \
  "ON t.oid = d.base WHERE t.typtype = 'd') SELECT d.id, t.* FROM down d JOIN pg_catalog.pg_type t ON t.oid = d.base WHERE t.typtype <> 'd'), " \
  "types AS (SELECT b.id, b.oid AS typid, e.oid AS elemid, b.typtype, b.typtype IN ('b', 'e') AND (e.oid IS NULL OR e.typtype IN ('b', 'e')) OR b.oid < 16384 AS plain, " \
  "CASE WHEN b.typtype = 'e' THEN 3500 WHEN e.oid IS NOT NULL THEN 2277 WHEN b.typtype = 'r' THEN 3831 WHEN b.typtype = 'm' THEN 4537 " \
  "WHEN b.oid = 1043 THEN 25 WHEN b.oid = 650 THEN 869 ELSE b.oid END AS counts_as, " \
  "CASE WHEN e.typtype = 'e' THEN 3500 WHEN e.oid = 1043 THEN 25 ELSE e.oid END AS elem_counts_as " \
  "FROM bases b LEFT JOIN pg_catalog.pg_type e ON e.oid = b.typelem AND b.typcategory = 'A'), " \
  "operators AS (SELECT o.opcintype, max(p.amopopr) FILTER (WHERE p.amopstrategy = 3) AS eq, max(p.amopopr) FILTER (WHERE p.amopstrategy = 1) AS lt " \
  "FROM pg_catalog.pg_opclass o JOIN pg_catalog.pg_amop p ON p.amopfamily = o.opcfamily AND p.amoplefttype = o.opcintype AND p.amoprighttype = o.opcintype " \
  "WHERE o.opcmethod = 403 AND o.opcdefault GROUP BY 1), " \
  "columns AS (SELECT a.*, t.typid, t.elemid, t.typtype, o.eq, o.lt, e.eq AS elem_eq FROM attributes a JOIN types t ON t.id = a.atttypid " \
  "LEFT JOIN operators o ON o.opcintype = t.counts_as LEFT JOIN operators e ON e.opcintype = t.elem_counts_as WHERE t.plain)"

/* Slots in the order ANALYZE fills them (src/backend/commands/analyze.c, utils/adt/array_typanalyze.c, rangetypes_typanalyze.c); kinds are those of
 * src/include/catalog/pg_statistic.h: 1 common values, 2 histogram, 3 correlation, 4 common elements, 5 element counts, 6 range lengths, 7 range bounds. */
const char whatif_columns_sql[] =
  "WITH " COLUMN_TYPES ", "
  "slots AS (SELECT c.at, s.kind, coalesce(s.op, 0) AS op, s.coll, s.numbers, s.vals, s.valtype, row_number() OVER (PARTITION BY c.at ORDER BY s.kind) AS slot FROM columns c "
  "CROSS JOIN LATERAL (VALUES "
  "(1, c.eq, c.attcollation, c.mcf::real[], c.mcv, c.typid, c.mcv IS NOT NULL AND c.mcf IS NOT NULL), "
  "(2, c.lt, c.attcollation, NULL, c.hist, c.typid, c.hist IS NOT NULL AND c.lt IS NOT NULL), "
  "(3, c.lt, c.attcollation, ARRAY[c.corr], NULL, NULL, c.corr IS NOT NULL AND c.lt IS NOT NULL), "
  "(4, CASE WHEN c.typid = 3614 THEN 98 ELSE c.elem_eq END, CASE WHEN c.typid = 3614 THEN 100 ELSE c.attcollation END, c.mcef::real[], c.mce, "
  "CASE WHEN c.typid = 3614 THEN 25 ELSE c.elemid END, c.mce IS NOT NULL AND c.mcef IS NOT NULL AND (c.elemid IS NOT NULL OR c.typid = 3614)), "
  "(5, c.elem_eq, c.attcollation, c.ech::real[], NULL, NULL, c.ech IS NOT NULL), "
  "(6, 672::oid, 0::oid, ARRAY[c.ref::real], c.rlh, 701::oid, c.rlh IS NOT NULL AND c.typtype = 'r'), "
  "(7, 0::oid, 0::oid, NULL, c.rbh, c.typid, c.rbh IS NOT NULL AND c.typtype = 'r')) AS s(kind, op, coll, numbers, vals, valtype, there) WHERE s.there), "
  "laid AS (SELECT at, "
#define EACH_SLOT(item) item("1") ", " item("2") ", " item("3") ", " item("4") ", " item("5")
#define LAID(n) "max(kind) FILTER (WHERE slot = " n ") AS k" n ", max(op) FILTER (WHERE slot = " n ") AS o" n ", max(coll) FILTER (WHERE slot = " n ") AS l" n ", " \
  "max(numbers) FILTER (WHERE slot = " n ") AS n" n ", max(vals) FILTER (WHERE slot = " n ") AS v" n ", max(valtype) FILTER (WHERE slot = " n ") AS t" n
  EACH_SLOT(LAID) " FROM slots GROUP BY at) "
  "INSERT INTO pg_catalog.pg_statistic (starelid, staattnum, stainherit, stanullfrac, stawidth, stadistinct, "
#define NAMES(n) "stakind" n ", staop" n ", stacoll" n ", stanumbers" n ", stavalues" n
  EACH_SLOT(NAMES) ") SELECT c.relid, c.attnum, c.inh, c.\"null\", c.width, c.\"distinct\", "
#define VALUES(n) "coalesce(k" n ", 0)::int2, coalesce(o" n ", 0), coalesce(l" n ", 0), n" n ", pg_catalog.array_in(v" n "::cstring, t" n ", -1)"
  EACH_SLOT(VALUES) " FROM columns c LEFT JOIN laid ON laid.at = c.at";

const char whatif_forget_columns_sql[] =
  "DELETE FROM pg_catalog.pg_statistic x USING pg_catalog.json_to_recordset($1::json) AS w(s text, t text, c text, inh bool), pg_catalog.pg_namespace n, pg_catalog.pg_class c, "
  "pg_catalog.pg_attribute a WHERE n.nspname = w.s AND c.relnamespace = n.oid AND c.relname = w.t AND a.attrelid = c.oid AND a.attname = w.c AND c.oid >= 16384 "
  "AND x.starelid = c.oid AND x.staattnum = a.attnum AND x.stainherit = w.inh";
/* clang-format on */
