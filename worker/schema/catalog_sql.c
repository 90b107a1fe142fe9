/* catalog_sql.c - the queries; see catalog_sql.h for what they return.
 *
 * They are set-based, one scan per catalog, and let the server build the JSON. None reads a user's table. Functions that open relations
 * (pg_get_viewdef, sizes) take ACCESS SHARE under lock_timeout. Majors 13-18: where columns differ a macro takes the expression. */
#include "worker/schema/catalog_sql.h"

/* One line of SQL per line: it is read as SQL. */
// clang-format off
#define ANY_MAJOR 13, 99
#define IN_SCHEMAS(alias) alias " = ANY ($1::oid[])"
#define NOT_EXTENSION(catalog, oid) \
  "NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '" catalog "'::regclass AND e.objid = " oid " AND e.deptype = 'e')"
#define COMMENT_JOIN(catalog, oid) "LEFT JOIN pg_description d ON d.classoid = '" catalog "'::regclass AND d.objoid = " oid " AND d.objsubid = 0 "
/* Names of the columns an int2 array of attribute numbers stands for, in its order. */
#define COLUMN_NAMES(relation, numbers) \
  "coalesce((SELECT json_agg(ka.attname ORDER BY k.n) FROM unnest(" numbers ") WITH ORDINALITY k (num, n) " \
  "JOIN pg_attribute ka ON ka.attrelid = " relation " AND ka.attnum = k.num), '[]')"

const char catalog_schemas_sql[] =
  "SELECT n.oid, n.nspname, json_build_object('name', n.nspname, 'owner', pg_get_userbyid(n.nspowner), 'comment', d.description, "
  "  'privileges', n.nspacl::text[]) "
  "FROM pg_namespace n " COMMENT_JOIN("pg_namespace", "n.oid")
  "WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND n.nspname <> ALL ($1::text[]) "
  "  AND ($2::text[] IS NULL OR n.nspname = ANY ($2::text[])) "
  "ORDER BY n.nspname";

const char catalog_session_sql[] =
  "SELECT pg_catalog.current_schemas(false), pg_catalog.current_setting('TimeZone')";

/* Set by name where the server knows it: what is read must not depend on how the role is configured. */
const char catalog_guard_sql[] =
  "SELECT pg_catalog.set_config(s.name, v.value, true) FROM pg_catalog.pg_settings s JOIN (VALUES ('search_path', 'pg_catalog'), ('TimeZone', 'UTC'), "
  "  ('DateStyle', 'ISO, YMD'), ('IntervalStyle', 'postgres'), ('extra_float_digits', '1'), ('standard_conforming_strings', 'on'), ('bytea_output', 'hex'), ('quote_all_identifiers', 'off'), "
  "  ('lock_timeout', '2s'), ('idle_in_transaction_session_timeout', '0'), ('transaction_timeout', '0'), ('jit', 'off'), "
  "  ('max_parallel_workers_per_gather', '0')) v (name, value) ON v.name OPERATOR(pg_catalog.=) s.name";

const char catalog_database_sql[] =
  "SELECT json_build_object('name', d.datname, 'user', current_user, 'encoding', pg_encoding_to_char(d.encoding), 'collation', d.datcollate, "
  "    'in_recovery', pg_is_in_recovery()), "
  "  (SELECT string_agg(quote_ident(s), ', ' ORDER BY n) FROM unnest($1::text[]) WITH ORDINALITY p (s, n)), array_to_json($1::text[]), "
  "  EXISTS (SELECT FROM pg_extension) "
  "FROM pg_database d WHERE d.datname = current_database()";

const char catalog_settings_sql[] =
  "SELECT json_object_agg(name, reset_val ORDER BY name) FROM pg_settings WHERE name IN ('TimeZone', 'search_path', 'DateStyle', "
  "  'IntervalStyle', 'default_tablespace', 'default_table_access_method', 'default_toast_compression', 'lock_timeout', 'statement_timeout', "
  "  'idle_in_transaction_session_timeout', 'transaction_timeout', 'deadlock_timeout', 'max_locks_per_transaction', 'wal_level', "
  "  'standard_conforming_strings', 'check_function_bodies', 'row_security', 'session_replication_role', 'transform_null_equals', "
  "  'maintenance_work_mem', 'max_parallel_maintenance_workers', 'work_mem', 'effective_cache_size', 'shared_buffers', "
  "  'random_page_cost', 'seq_page_cost', 'jit', 'default_statistics_target', 'block_size')";

/* ---- relations ---- */

static const char tables[] =
  "SELECT c.oid, NULL, 'tables', json_build_object('schema', n.nspname, 'name', c.relname, "
  "  'kind', CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned_table' ELSE 'foreign_table' END, "
  "  'owner', pg_get_userbyid(c.relowner), 'comment', d.description, "
  "  'persistence', CASE c.relpersistence WHEN 'u' THEN 'unlogged' ELSE 'permanent' END, "
  "  'access_method', am.amname, 'tablespace', ts.spcname, 'server', fs.srvname, 'options', c.reloptions, "
  "  'replica_identity', CASE c.relreplident WHEN 'd' THEN 'default' WHEN 'n' THEN 'nothing' WHEN 'f' THEN 'full' ELSE 'index' END, "
  "  'rls', c.relrowsecurity, 'rls_forced', c.relforcerowsecurity, 'privileges', c.relacl::text[], "
  "  'partition_key', CASE c.relkind WHEN 'p' THEN pg_get_partkeydef(c.oid) END, "
  "  'partition_of', CASE WHEN c.relispartition THEN up.qualified END, 'partition_bound', pg_get_expr(c.relpartbound, c.oid), "
  "  'parents', coalesce(up.parents, '[]'), 'of_type', CASE WHEN c.reloftype <> 0 THEN format_type(c.reloftype, NULL) END, "
  "  'columns', '[]'::json, 'primary_key', NULL, 'unique', '[]'::json, 'foreign_keys', '[]'::json, 'checks', '[]'::json, 'exclusions', '[]'::json, "
  "  'not_nulls', '[]'::json, 'indexes', '[]'::json, 'triggers', '[]'::json, 'policies', '[]'::json, 'rules', '[]'::json, 'statistics', '[]'::json, "
  "  'estimated_rows', -1, 'total_bytes', 0, 'activity', NULL) "
  "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace " COMMENT_JOIN("pg_class", "c.oid")
  "LEFT JOIN pg_am am ON am.oid = c.relam LEFT JOIN pg_tablespace ts ON ts.oid = c.reltablespace "
  "LEFT JOIN pg_foreign_table ft ON ft.ftrelid = c.oid LEFT JOIN pg_foreign_server fs ON fs.oid = ft.ftserver "
  "LEFT JOIN (SELECT i.inhrelid, min(pn.nspname || '.' || pc.relname) AS qualified, "
  "    json_agg(json_build_object('schema', pn.nspname, 'name', pc.relname) ORDER BY i.inhseqno) AS parents "
  "  FROM pg_inherits i JOIN pg_class pc ON pc.oid = i.inhparent AND pc.relkind IN ('r', 'p', 'f') JOIN pg_namespace pn ON pn.oid = pc.relnamespace "
  "  GROUP BY i.inhrelid) up ON up.inhrelid = c.oid "
  "WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND " IN_SCHEMAS("c.relnamespace") " AND " NOT_EXTENSION("pg_class", "c.oid")
  " ORDER BY n.nspname, c.relname";

static const char views[] =
  "SELECT c.oid, NULL, 'views', json_build_object('schema', n.nspname, 'name', c.relname, "
  "  'kind', CASE c.relkind WHEN 'v' THEN 'view' ELSE 'materialized_view' END, 'owner', pg_get_userbyid(c.relowner), 'comment', d.description, "
  "  'options', c.reloptions, 'privileges', c.relacl::text[], 'definition', pg_get_viewdef(c.oid), "
  "  'columns', '[]'::json, 'indexes', '[]'::json, 'triggers', '[]'::json, 'rules', '[]'::json, 'statistics', '[]'::json, 'depends_on', '[]'::json) "
  "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace " COMMENT_JOIN("pg_class", "c.oid")
  "WHERE c.relkind IN ('v', 'm') AND c.relpersistence <> 't' AND " IN_SCHEMAS("c.relnamespace") " AND " NOT_EXTENSION("pg_class", "c.oid")
  " ORDER BY n.nspname, c.relname";

static const char sequences[] =
  "SELECT c.oid, NULL, 'sequences', json_build_object('schema', n.nspname, 'name', c.relname, 'owner', pg_get_userbyid(c.relowner), "
  "  'comment', d.description, 'type', format_type(s.seqtypid, NULL), 'start', s.seqstart, 'increment', s.seqincrement, 'min', s.seqmin, "
  "  'max', s.seqmax, 'cache', s.seqcache, 'cycle', s.seqcycle, 'privileges', c.relacl::text[], 'owned_by', own.qualified, "
  "  'owner_column', own.place, 'identity', coalesce(own.deptype = 'i', false)) "
  "FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace " COMMENT_JOIN("pg_class", "c.oid")
  "LEFT JOIN (SELECT o.objid, o.deptype, tn.nspname || '.' || t.relname || '.' || a.attname AS qualified, "
  "    json_build_object('schema', tn.nspname, 'table', t.relname, 'column', a.attname) AS place "
  "  FROM pg_depend o JOIN pg_class t ON t.oid = o.refobjid JOIN pg_namespace tn ON tn.oid = t.relnamespace "
  "  JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = o.refobjsubid "
  "  WHERE o.classid = 'pg_class'::regclass AND o.refclassid = 'pg_class'::regclass AND o.deptype IN ('a', 'i') AND o.refobjsubid > 0) own ON own.objid = c.oid "
  "WHERE c.relpersistence <> 't' AND " IN_SCHEMAS("c.relnamespace") " AND " NOT_EXTENSION("pg_class", "c.oid")
  " ORDER BY n.nspname, c.relname";

/* n_distinct and n_distinct_inherited are what a user can set. Some builds keep marks of their own there ("pg_attver", a WAL
 * position), which would give the same schema another fingerprint in every database. */
#define COLUMN_OPTIONS \
  "CASE WHEN a.attoptions IS NOT NULL THEN (SELECT json_agg(o ORDER BY o) FROM unnest(a.attoptions) o WHERE starts_with(o, 'n_distinct')) END"
#define COLUMNS(compression) \
  "SELECT NULL, a.attrelid, 'columns', json_agg(json_build_object('name', a.attname, " \
  "  'type', format_type(a.atttypid, a.atttypmod), 'type_kind', CASE t.typtype WHEN 'b' THEN CASE WHEN t.typcategory = 'A' THEN 'array' ELSE 'base' END " \
  "    WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'c' THEN 'composite' WHEN 'r' THEN 'range' WHEN 'm' THEN 'multirange' ELSE 'pseudo' END, " \
  "  'nullable', NOT a.attnotnull, 'default', CASE a.attgenerated WHEN '' THEN pg_get_expr(ad.adbin, ad.adrelid) END, " \
  "  'identity', CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END, " \
  "  'generated', CASE WHEN a.attgenerated <> '' THEN pg_get_expr(ad.adbin, ad.adrelid) END, " \
  "  'generated_kind', CASE a.attgenerated WHEN 's' THEN 'stored' WHEN 'v' THEN 'virtual' END, " \
  "  'comment', d.description, 'collation', CASE WHEN a.attcollation <> t.typcollation THEN quote_ident(cn.nspname) || '.' || quote_ident(co.collname) END, " \
  "  'storage', CASE a.attstorage WHEN 'p' THEN 'plain' WHEN 'e' THEN 'external' WHEN 'm' THEN 'main' ELSE 'extended' END, " \
  "  'compression', " compression ", 'inherited', NOT a.attislocal, 'options', " COLUMN_OPTIONS ", 'privileges', a.attacl::text[]) ORDER BY a.attnum) " \
  "FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid " \
  "LEFT JOIN pg_attrdef ad ON ad.adrelid = a.attrelid AND ad.adnum = a.attnum " \
  "LEFT JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = a.attrelid AND d.objsubid = a.attnum " \
  "LEFT JOIN pg_collation co ON co.oid = a.attcollation AND a.attcollation <> t.typcollation LEFT JOIN pg_namespace cn ON cn.oid = co.collnamespace " \
  "WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'f', 'v', 'm') AND " IN_SCHEMAS("c.relnamespace") \
  " GROUP BY a.attrelid"
static const char columns_13[] = COLUMNS("NULL");
static const char columns_14[] = COLUMNS("CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END");

#define KEYS(enforced) \
  "SELECT NULL, con.conrelid, CASE con.contype WHEN 'p' THEN 'primary_key' WHEN 'u' THEN 'unique' WHEN 'c' THEN 'checks' " \
  "    WHEN 'x' THEN 'exclusions' ELSE 'not_nulls' END, " \
  "  json_build_object('name', con.conname, 'columns', " COLUMN_NAMES("con.conrelid", "con.conkey") ", " \
  "  'definition', pg_get_constraintdef(con.oid), 'validated', con.convalidated, 'deferrable', con.condeferrable, 'deferred', con.condeferred, " \
  "  'enforced', " enforced ", 'no_inherit', con.contype IN ('c', 'n') AND con.connoinherit, 'inherited', NOT con.conislocal, 'index', ic.relname, 'comment', d.description) " \
  "FROM pg_constraint con JOIN pg_class c ON c.oid = con.conrelid " COMMENT_JOIN("pg_constraint", "con.oid") \
  "LEFT JOIN pg_class ic ON ic.oid = con.conindid " \
  "WHERE con.contype IN ('p', 'u', 'c', 'x', 'n') AND " IN_SCHEMAS("c.relnamespace") " ORDER BY con.conrelid, con.conname"
static const char keys_13[] = KEYS("true");
static const char keys_18[] = KEYS("con.conenforced");

/* Besides the constraint itself a partitioned target has one row per partition, whose parent is a constraint of the same table: not shown. */
#define FOREIGN_KEYS(enforced) \
  "SELECT NULL, con.conrelid, 'foreign_keys', json_build_object('name', con.conname, 'columns', " COLUMN_NAMES("con.conrelid", "con.conkey") ", " \
  "  'ref_schema', rn.nspname, 'ref_table', r.relname, 'ref_columns', " COLUMN_NAMES("con.confrelid", "con.confkey") ", " \
  "  'on_delete', CASE con.confdeltype WHEN 'r' THEN 'RESTRICT' WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT' ELSE 'NO ACTION' END, " \
  "  'on_update', CASE con.confupdtype WHEN 'r' THEN 'RESTRICT' WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT' ELSE 'NO ACTION' END, " \
  "  'match', CASE con.confmatchtype WHEN 'f' THEN 'FULL' WHEN 'p' THEN 'PARTIAL' ELSE 'SIMPLE' END, 'validated', con.convalidated, " \
  "  'deferrable', con.condeferrable, 'deferred', con.condeferred, 'enforced', " enforced ", 'inherited', con.conparentid <> 0, " \
  "  'definition', pg_get_constraintdef(con.oid), 'comment', d.description) " \
  "FROM pg_constraint con JOIN pg_class c ON c.oid = con.conrelid JOIN pg_class r ON r.oid = con.confrelid JOIN pg_namespace rn ON rn.oid = r.relnamespace " \
  COMMENT_JOIN("pg_constraint", "con.oid") "LEFT JOIN pg_constraint up ON up.oid = con.conparentid " \
  "WHERE con.contype = 'f' AND up.conrelid IS DISTINCT FROM con.conrelid AND " IN_SCHEMAS("c.relnamespace") " ORDER BY con.conrelid, con.conname"
static const char foreign_keys_13[] = FOREIGN_KEYS("true");
static const char foreign_keys_18[] = FOREIGN_KEYS("con.conenforced");

#define INDEX_COLUMNS(condition) \
  "(SELECT json_agg(coalesce(ka.attname, pg_get_indexdef(i.indexrelid, k.n::integer, false)) ORDER BY k.n) " \
  "FROM unnest(i.indkey) WITH ORDINALITY k (num, n) LEFT JOIN pg_attribute ka ON k.num > 0 AND ka.attrelid = i.indrelid AND ka.attnum = k.num " \
  "WHERE k.n " condition " i.indnkeyatts)"
#define INDEXES(nulls_not_distinct) \
  "SELECT i.indexrelid, i.indrelid, 'indexes', json_build_object('name', ic.relname, 'definition', pg_get_indexdef(i.indexrelid), " \
  "  'method', am.amname, 'columns', coalesce(" INDEX_COLUMNS("<=") ", '[]'), " \
  "  'include', CASE WHEN i.indnatts > i.indnkeyatts THEN " INDEX_COLUMNS(">") " ELSE '[]' END, " \
  "  'unique', i.indisunique, 'primary', i.indisprimary, 'exclusion', i.indisexclusion, 'valid', i.indisvalid, 'ready', i.indisready, " \
  "  'nulls_not_distinct', " nulls_not_distinct ", 'clustered', i.indisclustered, 'replica_identity', i.indisreplident, " \
  "  'predicate', pg_get_expr(i.indpred, i.indrelid), 'inherited', ic.relispartition, 'options', ic.reloptions, 'tablespace', ts.spcname, " \
  "  'comment', d.description, 'bytes', NULL, 'scans', NULL) " \
  "FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid JOIN pg_am am ON am.oid = ic.relam " \
  COMMENT_JOIN("pg_class", "i.indexrelid") "LEFT JOIN pg_tablespace ts ON ts.oid = ic.reltablespace " \
  "WHERE " IN_SCHEMAS("c.relnamespace") " ORDER BY i.indrelid, ic.relname"
static const char indexes_13[] = INDEXES("false");
static const char indexes_15[] = INDEXES("i.indnullsnotdistinct");

static const char triggers[] =
  "SELECT NULL, t.tgrelid, 'triggers', json_build_object('name', t.tgname, 'definition', pg_get_triggerdef(t.oid), "
  "  'function', pn.nspname || '.' || p.proname, 'enabled', CASE t.tgenabled WHEN 'O' THEN 'origin' WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'replica' ELSE 'always' END, "
  "  'inherited', t.tgparentid <> 0, 'comment', d.description) "
  "FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace pn ON pn.oid = p.pronamespace "
  COMMENT_JOIN("pg_trigger", "t.oid")
  "WHERE NOT t.tgisinternal AND " IN_SCHEMAS("c.relnamespace") " ORDER BY t.tgrelid, t.tgname";

static const char policies[] =
  "SELECT NULL, p.polrelid, 'policies', json_build_object('name', p.polname, 'command', p.cmd, 'permissive', p.polpermissive, 'roles', p.roles, "
  "  'using', p.quals, 'check', p.checks, 'definition', format('CREATE POLICY %I ON %I.%I AS %s FOR %s TO %s', p.polname, p.nspname, p.relname, "
  "    CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END, p.cmd, array_to_string(p.quoted, ', ')) || "
  "    coalesce(' USING (' || p.quals || ')', '') || coalesce(' WITH CHECK (' || p.checks || ')', ''), 'comment', p.description) "
  "FROM (SELECT po.*, n.nspname, c.relname, d.description, pg_get_expr(po.polqual, po.polrelid) AS quals, pg_get_expr(po.polwithcheck, po.polrelid) AS checks, "
  "    CASE po.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END AS cmd, "
  "    ARRAY(SELECT CASE r WHEN 0 THEN 'public' ELSE pg_get_userbyid(r)::text END FROM unnest(po.polroles) r ORDER BY 1) AS roles, "
  "    ARRAY(SELECT CASE r WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END FROM unnest(po.polroles) r ORDER BY 1) AS quoted "
  "  FROM pg_policy po JOIN pg_class c ON c.oid = po.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace " COMMENT_JOIN("pg_policy", "po.oid")
  "  WHERE " IN_SCHEMAS("c.relnamespace") ") p ORDER BY p.polrelid, p.polname";

static const char rules[] =
  "SELECT NULL, r.ev_class, 'rules', json_build_object('name', r.rulename, 'definition', pg_get_ruledef(r.oid), "
  "  'enabled', CASE r.ev_enabled WHEN 'O' THEN 'origin' WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'replica' ELSE 'always' END) "
  "FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class WHERE r.rulename <> '_RETURN' AND " IN_SCHEMAS("c.relnamespace")
  " ORDER BY r.ev_class, r.rulename";

static const char statistics_objects[] =
  "SELECT NULL, s.stxrelid, 'statistics', json_build_object('schema', n.nspname, 'name', s.stxname, 'owner', pg_get_userbyid(s.stxowner), "
  "  'definition', pg_get_statisticsobjdef(s.oid)) "
  "FROM pg_statistic_ext s JOIN pg_class c ON c.oid = s.stxrelid JOIN pg_namespace n ON n.oid = s.stxnamespace "
  "WHERE " IN_SCHEMAS("c.relnamespace") " ORDER BY n.nspname, s.stxname";

static const char view_dependencies[] =
  "SELECT NULL, v.ev_class, 'depends_on', json_agg(json_build_object('schema', v.nspname, 'name', v.relname, 'columns', coalesce(v.columns, '[]')) "
  "  ORDER BY v.nspname, v.relname) "
  "FROM (SELECT r.ev_class, n.nspname, c.relname, json_agg(a.attname ORDER BY a.attnum) FILTER (WHERE a.attnum IS NOT NULL) AS columns "
  "  FROM pg_rewrite r JOIN pg_class vc ON vc.oid = r.ev_class JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid "
  "    AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class AND d.deptype = 'n' "
  "  JOIN pg_class c ON c.oid = d.refobjid AND c.relkind IN ('r', 'p', 'f', 'v', 'm') JOIN pg_namespace n ON n.oid = c.relnamespace "
  "  LEFT JOIN pg_attribute a ON d.refobjsubid > 0 AND a.attrelid = d.refobjid AND a.attnum = d.refobjsubid "
  "  WHERE vc.relkind IN ('v', 'm') AND " IN_SCHEMAS("vc.relnamespace") " GROUP BY r.ev_class, n.nspname, c.relname) v GROUP BY v.ev_class";

/* ---- types, functions and the rest ---- */

static const char enums[] =
  "SELECT NULL, NULL, 'enums', json_build_object('schema', n.nspname, 'name', t.typname, 'owner', pg_get_userbyid(t.typowner), 'comment', d.description, "
  "  'labels', (SELECT coalesce(json_agg(e.enumlabel ORDER BY e.enumsortorder), '[]') FROM pg_enum e WHERE e.enumtypid = t.oid)) "
  "FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace " COMMENT_JOIN("pg_type", "t.oid")
  "WHERE t.typtype = 'e' AND " IN_SCHEMAS("t.typnamespace") " AND " NOT_EXTENSION("pg_type", "t.oid") " ORDER BY n.nspname, t.typname";

static const char domains[] =
  "SELECT NULL, NULL, 'domains', json_build_object('schema', n.nspname, 'name', t.typname, 'owner', pg_get_userbyid(t.typowner), 'comment', d.description, "
  "  'base_type', format_type(t.typbasetype, t.typtypmod), 'default', t.typdefault, 'not_null', t.typnotnull, "
  "  'checks', (SELECT coalesce(json_agg(json_build_object('name', k.conname, 'definition', pg_get_constraintdef(k.oid), 'validated', k.convalidated) "
  "    ORDER BY k.conname), '[]') FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c')) "
  "FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace " COMMENT_JOIN("pg_type", "t.oid")
  "WHERE t.typtype = 'd' AND " IN_SCHEMAS("t.typnamespace") " AND " NOT_EXTENSION("pg_type", "t.oid") " ORDER BY n.nspname, t.typname";

static const char composites[] =
  "SELECT NULL, NULL, 'composites', json_build_object('schema', n.nspname, 'name', c.relname, 'owner', pg_get_userbyid(c.relowner), 'comment', d.description, "
  "  'attributes', (SELECT coalesce(json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod)) ORDER BY a.attnum), '[]') "
  "    FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)) "
  "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace " COMMENT_JOIN("pg_type", "c.reltype")
  "WHERE c.relkind = 'c' AND " IN_SCHEMAS("c.relnamespace") " AND " NOT_EXTENSION("pg_type", "c.reltype") " ORDER BY n.nspname, c.relname";

static const char ranges[] =
  "SELECT NULL, NULL, 'ranges', json_build_object('schema', n.nspname, 'name', t.typname, 'subtype', format_type(r.rngsubtype, NULL)) "
  "FROM pg_range r JOIN pg_type t ON t.oid = r.rngtypid JOIN pg_namespace n ON n.oid = t.typnamespace "
  "WHERE " IN_SCHEMAS("t.typnamespace") " AND " NOT_EXTENSION("pg_type", "t.oid") " ORDER BY n.nspname, t.typname";

/* Sources over 64 KiB are known by their hash only. */
#define FUNCTIONS(sql_body) \
  "SELECT NULL, NULL, 'functions', json_build_object('schema', f.nspname, 'name', f.proname, " \
  "  'kind', CASE f.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' WHEN 'w' THEN 'window' ELSE 'function' END, " \
  "  'arguments', pg_get_function_arguments(f.oid), 'identity_arguments', pg_get_function_identity_arguments(f.oid), " \
  "  'returns', coalesce(pg_get_function_result(f.oid), 'void'), 'language', f.lanname, " \
  "  'volatility', CASE f.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END, " \
  "  'security_definer', f.prosecdef, 'strict', f.proisstrict, 'leakproof', f.proleakproof, " \
  "  'parallel', CASE f.proparallel WHEN 's' THEN 'safe' WHEN 'r' THEN 'restricted' ELSE 'unsafe' END, 'settings', f.proconfig, " \
  "  'owner', pg_get_userbyid(f.proowner), 'privileges', f.proacl::text[], 'comment', f.description, " \
  "  'body', CASE WHEN octet_length(f.source) <= 65536 THEN f.source END, " \
  "  'body_sha256', CASE WHEN octet_length(f.source) > 65536 THEN encode(sha256(convert_to(f.source, 'UTF8')), 'hex') END) " \
  "FROM (SELECT p.*, n.nspname, l.lanname, d.description, CASE WHEN l.lanname NOT IN ('c', 'internal') THEN " sql_body " END AS source " \
  "  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang " COMMENT_JOIN("pg_proc", "p.oid") \
  "  WHERE " IN_SCHEMAS("p.pronamespace") " AND " NOT_EXTENSION("pg_proc", "p.oid") ") f " \
  "ORDER BY f.nspname, f.proname, pg_get_function_identity_arguments(f.oid)"
static const char functions_13[] = FUNCTIONS("p.prosrc");
static const char functions_14[] = FUNCTIONS("coalesce(pg_get_function_sqlbody(p.oid), p.prosrc)");

static const char collations[] =
  "SELECT NULL, NULL, 'collations', json_build_object('schema', n.nspname, 'name', c.collname, 'provider', c.collprovider, 'deterministic', c.collisdeterministic) "
  "FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace "
  "WHERE " IN_SCHEMAS("c.collnamespace") " AND " NOT_EXTENSION("pg_collation", "c.oid") " ORDER BY n.nspname, c.collname";

static const char extensions[] =
  "SELECT NULL, NULL, 'extensions', json_build_object('name', e.extname, 'version', e.extversion, 'schema', n.nspname) "
  "FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE $1::oid[] IS NOT NULL ORDER BY e.extname";

static const char event_triggers[] =
  "SELECT NULL, NULL, 'event_triggers', json_build_object('name', t.evtname, 'event', t.evtevent, 'function', n.nspname || '.' || p.proname, "
  "  'enabled', CASE t.evtenabled WHEN 'O' THEN 'origin' WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'replica' ELSE 'always' END, 'tags', t.evttags) "
  "FROM pg_event_trigger t JOIN pg_proc p ON p.oid = t.evtfoid JOIN pg_namespace n ON n.oid = p.pronamespace "
  "WHERE $1::oid[] IS NOT NULL ORDER BY t.evtname";

#define PUBLICATIONS(schemas) \
  "SELECT NULL, NULL, 'publications', json_build_object('name', p.pubname, 'owner', pg_get_userbyid(p.pubowner), 'all_tables', p.puballtables, " \
  "  'insert', p.pubinsert, 'update', p.pubupdate, 'delete', p.pubdelete, 'truncate', p.pubtruncate, 'via_root', p.pubviaroot, 'schemas', " schemas ", " \
  "  'tables', (SELECT coalesce(json_agg(json_build_object('schema', n.nspname, 'name', c.relname) ORDER BY n.nspname, c.relname), '[]') " \
  "    FROM pg_publication_rel r JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace " \
  "    WHERE r.prpubid = p.oid AND " IN_SCHEMAS("c.relnamespace") ")) FROM pg_publication p ORDER BY p.pubname"
static const char publications_13[] = PUBLICATIONS("'[]'::json");
static const char publications_15[] = PUBLICATIONS(
  "(SELECT coalesce(json_agg(n.nspname ORDER BY n.nspname), '[]') FROM pg_publication_namespace pn JOIN pg_namespace n ON n.oid = pn.pnnspid WHERE pn.pnpubid = p.oid)");

/* ---- statistics: outside the fingerprint ---- */

/* Owners, and whoever was granted something on a relation. */
static const char roles[] =
  "SELECT NULL, NULL, 'roles', json_build_object('name', r.rolname, 'login', r.rolcanlogin, 'superuser', r.rolsuper, 'bypass_rls', r.rolbypassrls, "
  "  'inherit', r.rolinherit) "
  "FROM pg_roles r WHERE r.oid IN (SELECT c.relowner FROM pg_class c WHERE " IN_SCHEMAS("c.relnamespace")
  "  UNION SELECT x.grantee FROM pg_class c, aclexplode(c.relacl) x WHERE " IN_SCHEMAS("c.relnamespace")
  "  UNION SELECT n.nspowner FROM pg_namespace n WHERE " IN_SCHEMAS("n.oid") " UNION SELECT x.grantee FROM pg_namespace n, aclexplode(n.nspacl) x WHERE "
  IN_SCHEMAS("n.oid") ") ORDER BY r.rolname";

/* Every operator somebody made, in whatever schema: what a name in a query may call. Those of extensions go by the extension's name. */
static const char operators[] =
  "SELECT NULL, NULL, 'operators', json_build_object('schema', n.nspname, 'name', o.oprname, "
  "  'left', CASE WHEN o.oprleft <> 0 THEN format_type(o.oprleft, NULL) END, 'right', CASE WHEN o.oprright <> 0 THEN format_type(o.oprright, NULL) END, "
  "  'function', json_build_object('schema', pn.nspname, 'name', p.proname, "
  "    'volatility', CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END, "
  "    'security_definer', p.prosecdef, 'language', l.lanname)) "
  "FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace JOIN pg_proc p ON p.oid = o.oprcode "
  "JOIN pg_namespace pn ON pn.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang "
  "WHERE $1::oid[] IS NOT NULL AND o.oid >= 16384 AND " NOT_EXTENSION("pg_operator", "o.oid") " ORDER BY n.nspname, o.oprname, o.oid";

/* Every cast somebody made; one by a function calls it, written or implied. */
static const char casts[] =
  "SELECT NULL, NULL, 'casts', json_build_object('source', format_type(c.castsource, NULL), 'target', format_type(c.casttarget, NULL), "
  "  'context', CASE c.castcontext WHEN 'i' THEN 'implicit' WHEN 'a' THEN 'assignment' ELSE 'explicit' END, "
  "  'function', CASE WHEN p.oid IS NOT NULL THEN json_build_object('schema', pn.nspname, 'name', p.proname, "
  "    'volatility', CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END, "
  "    'security_definer', p.prosecdef, 'language', l.lanname) END) "
  "FROM pg_cast c LEFT JOIN pg_proc p ON p.oid = c.castfunc LEFT JOIN pg_namespace pn ON pn.oid = p.pronamespace LEFT JOIN pg_language l ON l.oid = p.prolang "
  "WHERE $1::oid[] IS NOT NULL AND c.oid >= 16384 AND " NOT_EXTENSION("pg_cast", "c.oid") " ORDER BY c.oid";

/* Before 14 a table never analysed has 0 pages and 0 rows; since then -1 rows. */
static const char row_estimates[] =
  "SELECT NULL, c.oid, NULL, json_build_object('estimated_rows', CASE WHEN c.reltuples = 0 AND c.relpages = 0 AND current_setting('server_version_num')::integer < 140000 "
  "    THEN -1 ELSE c.reltuples::bigint END, 'pages', c.relpages, 'all_visible_pages', c.relallvisible, "
  "  'populated', c.relispopulated) "
  "FROM pg_class c WHERE c.relkind IN ('r', 'p', 'f', 'm') AND " IN_SCHEMAS("c.relnamespace");

/* By page counts of the last VACUUM or ANALYZE: no relation is opened. Replaced by the next query where that may run. A heap of no bytes is
 * never estimated: 0 is measured, and says that the table was empty. */
static const char sizes_estimated[] =
  "SELECT NULL, c.oid, NULL, CASE c.relkind WHEN 'i' THEN json_build_object('bytes', c.relpages::bigint * b.size) WHEN 'I' THEN json_build_object('bytes', 0) "
  "  ELSE json_build_object('total_bytes', (c.relpages::bigint + coalesce(t.relpages, 0) + coalesce(x.pages, 0)) * b.size, 'heap_bytes', CASE WHEN c.relpages > 0 THEN c.relpages::bigint * b.size END) END "
  "FROM (SELECT current_setting('block_size')::bigint AS size) b, pg_class c LEFT JOIN pg_class t ON t.oid = c.reltoastrelid "
  "LEFT JOIN (SELECT i.indrelid, sum(ic.relpages)::bigint AS pages FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid GROUP BY 1) x ON x.indrelid = c.oid "
  "WHERE c.relkind IN ('r', 'p', 'f', 'm', 'i', 'I') AND " IN_SCHEMAS("c.relnamespace");

static const char sizes[] =
  "SELECT NULL, c.oid, NULL, CASE c.relkind WHEN 'i' THEN json_build_object('bytes', coalesce(pg_relation_size(c.oid), 0)) "
  "  ELSE json_build_object('total_bytes', coalesce(pg_total_relation_size(c.oid), 0), 'heap_bytes', coalesce(pg_relation_size(c.oid), 0)) END "
  "FROM pg_class c WHERE c.relkind IN ('r', 'm', 'i') AND " IN_SCHEMAS("c.relnamespace");

static const char column_statistics[] =
  "SELECT NULL, c.oid, '@columns', json_object_agg(s.attname, json_build_object('null_frac', s.null_frac, 'n_distinct', s.n_distinct, "
  "  'avg_width', s.avg_width, 'correlation', s.correlation)) "
  "FROM pg_stats s JOIN pg_namespace n ON n.nspname = s.schemaname JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = s.tablename "
  "WHERE s.inherited = (c.relkind = 'p') AND c.relkind IN ('r', 'p', 'f', 'm') AND " IN_SCHEMAS("n.oid") " GROUP BY c.oid";

static const char activity[] =
  "SELECT NULL, c.oid, NULL, json_build_object('activity', json_build_object('seq_scan', pg_stat_get_numscans(c.oid), "
  "  'seq_tup_read', pg_stat_get_tuples_returned(c.oid), 'idx_scan', x.scans, 'n_tup_ins', pg_stat_get_tuples_inserted(c.oid), "
  "  'n_tup_upd', pg_stat_get_tuples_updated(c.oid), 'n_tup_hot_upd', pg_stat_get_tuples_hot_updated(c.oid), "
  "  'n_tup_del', pg_stat_get_tuples_deleted(c.oid), 'n_live_tup', pg_stat_get_live_tuples(c.oid), 'n_dead_tup', pg_stat_get_dead_tuples(c.oid), "
  "  'n_mod_since_analyze', pg_stat_get_mod_since_analyze(c.oid), "
  "  'seconds', (SELECT round(extract(epoch FROM now() - coalesce(d.stats_reset, pg_postmaster_start_time())))::bigint FROM pg_stat_database d WHERE d.datname = current_database()), "
  "  'last_analyze', greatest(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid)), "
  "  'last_vacuum', greatest(pg_stat_get_last_vacuum_time(c.oid), pg_stat_get_last_autovacuum_time(c.oid)))) "
  "FROM pg_class c LEFT JOIN (SELECT i.indrelid, sum(pg_stat_get_numscans(i.indexrelid))::bigint AS scans FROM pg_index i GROUP BY 1) x ON x.indrelid = c.oid "
  "WHERE c.relkind IN ('r', 'm') AND " IN_SCHEMAS("c.relnamespace");

static const char index_scans[] =
  "SELECT NULL, c.oid, NULL, json_build_object('scans', pg_stat_get_numscans(c.oid)) FROM pg_class c WHERE c.relkind = 'i' AND " IN_SCHEMAS("c.relnamespace");

static const char sequence_state[] =
  "SELECT NULL, c.oid, NULL, json_build_object('last_value', CASE WHEN has_sequence_privilege(c.oid, 'SELECT, USAGE') THEN pg_sequence_last_value(c.oid) END) "
  "FROM pg_class c WHERE c.relkind = 'S' AND " IN_SCHEMAS("c.relnamespace");

// clang-format on

const struct catalog_query catalog_queries[] = {
    {"tables", ANY_MAJOR, true, tables},
    {"views", ANY_MAJOR, true, views},
    {"columns", 13, 13, true, columns_13},
    {"columns", 14, 99, true, columns_14},
    {"constraints", 13, 17, true, keys_13},
    {"constraints", 18, 99, true, keys_18},
    {"foreign keys", 13, 17, true, foreign_keys_13},
    {"foreign keys", 18, 99, true, foreign_keys_18},
    {"indexes", 13, 14, true, indexes_13},
    {"indexes", 15, 99, true, indexes_15},
    {"triggers", ANY_MAJOR, true, triggers},
    {"policies", ANY_MAJOR, true, policies},
    {"rules", ANY_MAJOR, true, rules},
    {"statistics objects", ANY_MAJOR, true, statistics_objects},
    {"view dependencies", ANY_MAJOR, true, view_dependencies},
    {"sequences", ANY_MAJOR, true, sequences},
    {"enums", ANY_MAJOR, true, enums},
    {"domains", ANY_MAJOR, true, domains},
    {"composite types", ANY_MAJOR, true, composites},
    {"range types", ANY_MAJOR, true, ranges},
    {"functions", 13, 13, true, functions_13},
    {"functions", 14, 99, true, functions_14},
    {"collations", ANY_MAJOR, true, collations},
    {"extensions", ANY_MAJOR, true, extensions},
    {"event triggers", ANY_MAJOR, true, event_triggers},
    {"publications", 13, 14, true, publications_13},
    {"publications", 15, 99, true, publications_15},
    {"roles", ANY_MAJOR, false, roles},
    {"operators", ANY_MAJOR, false, operators},
    {"casts", ANY_MAJOR, false, casts},
    {"row estimates", ANY_MAJOR, false, row_estimates},
    {"estimated sizes", ANY_MAJOR, false, sizes_estimated},
    {"sizes", ANY_MAJOR, false, sizes},
    {"column statistics", ANY_MAJOR, false, column_statistics},
    {"table activity", ANY_MAJOR, false, activity},
    {"index scans", ANY_MAJOR, false, index_scans},
    {"sequence state", ANY_MAJOR, false, sequence_state},
};
const int catalog_query_count = sizeof catalog_queries / sizeof *catalog_queries;
