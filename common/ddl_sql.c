/* ddl_sql.c - see ddl_sql.h. Columns that not every major has are taken from the row as JSON. */
#include "common/ddl_sql.h"

#include <stddef.h>

/* One line of SQL per line: it is read as SQL. */
// clang-format off
#define IN_SCHEMAS(alias) alias " = ANY ($1::oid[])"
#define NOT_EXTENSION(catalog, oid) \
  "NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '" catalog "'::regclass AND e.objid = " oid " AND e.deptype = 'e')"
/* A range type brings functions and casts of its own. */
#define NOT_BROUGHT(catalog, oid) \
  "NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '" catalog "'::regclass AND e.objid = " oid " AND e.deptype IN ('e', 'i'))"
#define OWN(catalog, alias, schema) IN_SCHEMAS(schema) " AND " NOT_EXTENSION(catalog, alias ".oid")
#define MAKES(catalog, oid, place, key) "SELECT '" catalog "'::regclass::oid, " oid ", " place ", " key ", "
#define NAME(schema, name) "format('%I.%I', " schema ", " name ")"
/* {a=1,b=2} as a list; %L quotes what needs no quotes, too */
#define OPTIONS(array) "(SELECT string_agg(format('%s=%L', split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)), ', ') FROM unnest(" array ") o)"
#define FDW_OPTIONS(array) "coalesce(' OPTIONS (' || (SELECT string_agg(format('%I %L', option_name, option_value), ', ') FROM pg_options_to_table(" array ")) || ')', '')"
#define COLLATE(collation, own) \
  "coalesce((SELECT format(' COLLATE %I.%I', cn.nspname, co.collname) FROM pg_collation co JOIN pg_namespace cn ON cn.oid = co.collnamespace " \
  "WHERE co.oid = " collation " AND " collation " <> " own "), '')"
#define SEQUENCE_OPTIONS(s) \
  "format('START WITH %s INCREMENT BY %s MINVALUE %s MAXVALUE %s CACHE %s%s', " s ".seqstart, " s ".seqincrement, " s ".seqmin, " s ".seqmax, " s ".seqcache, " \
  "CASE WHEN " s ".seqcycle THEN ' CYCLE' ELSE '' END)"
#define SIGNATURE(p, schema) "format('%I.%I(%s)', " schema ", " p ".proname, CASE WHEN " p ".prokind = 'a' AND " p ".pronargs = 0 THEN '*' ELSE pg_get_function_identity_arguments(" p ".oid) END)"
#define REGPROC(label, function) "CASE WHEN " function "::oid <> 0 THEN ', " label " = ' || " function "::regproc ELSE '' END"

const char ddl_schemas_sql[] = "SELECT array_agg(oid) FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'";

static const char schemas[] =
  MAKES("pg_namespace", "n.oid", "10", "n.nspname") "format('CREATE SCHEMA %I;', n.nspname) FROM pg_namespace n WHERE n.nspname <> 'public' AND " OWN("pg_namespace", "n", "n.oid");

/* Only those whose objects lie in schemas asked for, or in the system's. */
static const char extensions[] =
  MAKES("pg_extension", "e.oid", "11", "e.extname") "format('CREATE EXTENSION IF NOT EXISTS %I WITH SCHEMA %I;', e.extname, n.nspname) "
  "FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname <> 'plpgsql' AND ($1::oid[]) IS NOT NULL";

static const char wrappers[] =
  MAKES("pg_foreign_data_wrapper", "w.oid", "12", "w.fdwname") "format('CREATE FOREIGN DATA WRAPPER %I', w.fdwname) || "
  "CASE WHEN w.fdwhandler <> 0 THEN ' HANDLER ' || w.fdwhandler::regproc ELSE '' END || CASE WHEN w.fdwvalidator <> 0 THEN ' VALIDATOR ' || w.fdwvalidator::regproc ELSE '' END || "
  FDW_OPTIONS("w.fdwoptions") " || ';' FROM pg_foreign_data_wrapper w WHERE ($1::oid[]) IS NOT NULL AND " NOT_EXTENSION("pg_foreign_data_wrapper", "w.oid");

static const char servers[] =
  MAKES("pg_foreign_server", "s.oid", "13", "s.srvname") "format('CREATE SERVER %I', s.srvname) || coalesce(' TYPE ' || quote_literal(s.srvtype), '') || "
  "coalesce(' VERSION ' || quote_literal(s.srvversion), '') || format(' FOREIGN DATA WRAPPER %I', w.fdwname) || " FDW_OPTIONS("s.srvoptions") " || ';' "
  "FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw WHERE ($1::oid[]) IS NOT NULL AND " NOT_EXTENSION("pg_foreign_server", "s.oid");

/* ---- types ---- */

static const char collations[] =
  MAKES("pg_collation", "c.oid", "20", "n.nspname || '.' || c.collname") "format('CREATE COLLATION %I.%I (provider = %s, ', n.nspname, c.collname, CASE c.collprovider WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END) || "
  "CASE c.collprovider WHEN 'c' THEN format('lc_collate = %L, lc_ctype = %L', c.collcollate, c.collctype) "
  "  ELSE format('locale = %L', coalesce(j.row ->> 'colllocale', j.row ->> 'colliculocale', c.collcollate)) END || "
  "coalesce(', rules = ' || quote_literal(j.row ->> 'collicurules'), '') || CASE WHEN c.collisdeterministic THEN '' ELSE ', deterministic = false' END || ');' "
  "FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace, LATERAL (SELECT to_jsonb(c) AS row) j WHERE " OWN("pg_collation", "c", "c.collnamespace");

static const char enums[] =
  MAKES("pg_type", "t.oid", "21", "n.nspname || '.' || t.typname") "format('CREATE TYPE %I.%I AS ENUM (%s);', n.nspname, t.typname, "
  "  (SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid)) "
  "FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype = 'e' AND " OWN("pg_type", "t", "t.typnamespace");

static const char domains[] =
  MAKES("pg_type", "t.oid", "22", "n.nspname || '.' || t.typname") "format('CREATE DOMAIN %I.%I AS %s', n.nspname, t.typname, format_type(t.typbasetype, t.typtypmod)) || "
  COLLATE("t.typcollation", "b.typcollation") " || coalesce(' DEFAULT ' || coalesce(pg_get_expr(t.typdefaultbin, 'pg_type'::regclass), t.typdefault), '') || CASE WHEN t.typnotnull THEN ' NOT NULL' ELSE '' END || "
  "coalesce((SELECT string_agg(format(' CONSTRAINT %I %s', k.conname, pg_get_constraintdef(k.oid)), '' ORDER BY k.conname) FROM pg_constraint k "
  "  WHERE k.contypid = t.oid AND k.contype = 'c' AND k.convalidated), '') || ';' "
  "FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace JOIN pg_type b ON b.oid = t.typbasetype WHERE t.typtype = 'd' AND " OWN("pg_type", "t", "t.typnamespace");

static const char domain_checks[] =
  MAKES("pg_constraint", "k.oid", "60", "n.nspname || '.' || t.typname || '.' || k.conname") "format('ALTER DOMAIN %I.%I ADD CONSTRAINT %I %s;', n.nspname, t.typname, k.conname, pg_get_constraintdef(k.oid)) "
  "FROM pg_constraint k JOIN pg_type t ON t.oid = k.contypid JOIN pg_namespace n ON n.oid = t.typnamespace WHERE k.contype = 'c' AND NOT k.convalidated AND " OWN("pg_type", "t", "t.typnamespace");

static const char composites[] =
  MAKES("pg_class", "c.oid", "23", "n.nspname || '.' || c.relname") "format('CREATE TYPE %I.%I AS (%s);', n.nspname, c.relname, "
  "  (SELECT string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)) || " COLLATE("a.attcollation", "t.typcollation") ", ', ' ORDER BY a.attnum) "
  "   FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)) "
  "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'c' AND " IN_SCHEMAS("c.relnamespace") " AND " NOT_EXTENSION("pg_type", "c.reltype");

static const char ranges[] =
  MAKES("pg_type", "t.oid", "24", "n.nspname || '.' || t.typname") "format('CREATE TYPE %I.%I AS RANGE (subtype = %s', n.nspname, t.typname, format_type(r.rngsubtype, NULL)) || "
  "format(', subtype_opclass = %I.%I', o.nspname, o.opcname) || coalesce(', collation = ' || quote_ident(l.nspname) || '.' || quote_ident(l.collname), '') || "
  REGPROC("canonical", "r.rngcanonical") " || " REGPROC("subtype_diff", "r.rngsubdiff") " || "
  "coalesce((SELECT format(', multirange_type_name = %I.%I', mn.nspname, m.typname) FROM pg_type m JOIN pg_namespace mn ON mn.oid = m.typnamespace WHERE m.oid = (to_jsonb(r) ->> 'rngmultitypid')::oid), '') || ');' "
  "FROM pg_range r JOIN pg_type t ON t.oid = r.rngtypid JOIN pg_namespace n ON n.oid = t.typnamespace "
  "JOIN (SELECT oc.oid, oc.opcname, sn.nspname FROM pg_opclass oc JOIN pg_namespace sn ON sn.oid = oc.opcnamespace) o ON o.oid = r.rngsubopc "
  "LEFT JOIN (SELECT cl.oid, cl.collname, sn.nspname FROM pg_collation cl JOIN pg_namespace sn ON sn.oid = cl.collnamespace) l ON l.oid = r.rngcollation "
  "WHERE " OWN("pg_type", "t", "t.typnamespace");

/* ---- functions and what is made of them ---- */

static const char functions[] =
  MAKES("pg_proc", "p.oid", "30", "n.nspname || '.' || " SIGNATURE("p", "n.nspname")) "pg_get_functiondef(p.oid) || ';' "
  "FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.prokind <> 'a' AND " IN_SCHEMAS("p.pronamespace") " AND " NOT_BROUGHT("pg_proc", "p.oid");

static const char aggregates[] =
  MAKES("pg_proc", "p.oid", "31", SIGNATURE("p", "n.nspname")) "format('CREATE AGGREGATE %I.%I(%s) (SFUNC = %s, STYPE = %s', n.nspname, p.proname, "
  "  CASE WHEN p.pronargs = 0 THEN '*' ELSE pg_get_function_arguments(p.oid) END, g.aggtransfn::regproc, format_type(g.aggtranstype, NULL)) || "
  "CASE WHEN g.aggtransspace > 0 THEN ', SSPACE = ' || g.aggtransspace ELSE '' END || " REGPROC("FINALFUNC", "g.aggfinalfn") " || CASE WHEN g.aggfinalextra THEN ', FINALFUNC_EXTRA' ELSE '' END || "
  "CASE WHEN g.aggfinalfn::oid <> 0 AND g.aggfinalmodify <> CASE WHEN g.aggkind = 'n' THEN 'r' ELSE 'w' END::\"char\" THEN ', FINALFUNC_MODIFY = ' || CASE g.aggfinalmodify WHEN 'r' THEN 'READ_ONLY' WHEN 's' THEN 'SHAREABLE' ELSE 'READ_WRITE' END ELSE '' END || "
  REGPROC("COMBINEFUNC", "g.aggcombinefn") " || " REGPROC("SERIALFUNC", "g.aggserialfn") " || " REGPROC("DESERIALFUNC", "g.aggdeserialfn") " || coalesce(', INITCOND = ' || quote_literal(g.agginitval), '') || "
  "CASE WHEN g.aggmtransfn::oid <> 0 THEN format(', MSFUNC = %s, MINVFUNC = %s, MSTYPE = %s', g.aggmtransfn::regproc, g.aggminvtransfn::regproc, format_type(g.aggmtranstype, NULL)) ELSE '' END || "
  REGPROC("MFINALFUNC", "g.aggmfinalfn") " || CASE WHEN g.aggmfinalextra THEN ', MFINALFUNC_EXTRA' ELSE '' END || coalesce(', MINITCOND = ' || quote_literal(g.aggminitval), '') || "
  "CASE WHEN g.aggsortop <> 0 THEN (SELECT format(', SORTOP = OPERATOR(%I.%s)', sn.nspname, so.oprname) FROM pg_operator so JOIN pg_namespace sn ON sn.oid = so.oprnamespace WHERE so.oid = g.aggsortop) ELSE '' END || "
  "CASE WHEN g.aggkind = 'h' THEN ', HYPOTHETICAL' ELSE '' END || CASE p.proparallel WHEN 's' THEN ', PARALLEL = SAFE' WHEN 'r' THEN ', PARALLEL = RESTRICTED' ELSE '' END || ');' "
  "FROM pg_aggregate g JOIN pg_proc p ON p.oid = g.aggfnoid JOIN pg_namespace n ON n.oid = p.pronamespace WHERE " IN_SCHEMAS("p.pronamespace") " AND " NOT_BROUGHT("pg_proc", "p.oid");

/* A commutator that doesn't exist yet is filled in when that one is made, which names this one. */
#define OTHER_OPERATOR(label, oid) \
  "coalesce((SELECT format(', " label " = OPERATOR(%I.%s)', xn.nspname, x.oprname) FROM pg_operator x JOIN pg_namespace xn ON xn.oid = x.oprnamespace WHERE x.oid = " oid "), '')"
static const char operators[] =
  MAKES("pg_operator", "o.oid", "32", "n.nspname || '.' || o.oprname || o.oid::regoperator") "format('CREATE OPERATOR %I.%s (FUNCTION = %s', n.nspname, o.oprname, o.oprcode) || "
  "CASE WHEN o.oprleft <> 0 THEN ', LEFTARG = ' || format_type(o.oprleft, NULL) ELSE '' END || CASE WHEN o.oprright <> 0 THEN ', RIGHTARG = ' || format_type(o.oprright, NULL) ELSE '' END || "
  OTHER_OPERATOR("COMMUTATOR", "o.oprcom") " || " OTHER_OPERATOR("NEGATOR", "o.oprnegate") " || " REGPROC("RESTRICT", "o.oprrest") " || " REGPROC("JOIN", "o.oprjoin") " || "
  "CASE WHEN o.oprcanhash THEN ', HASHES' ELSE '' END || CASE WHEN o.oprcanmerge THEN ', MERGES' ELSE '' END || ');' "
  "FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE o.oprcode::oid <> 0 AND " OWN("pg_operator", "o", "o.oprnamespace");

static const char casts[] =
  MAKES("pg_cast", "k.oid", "33", "format_type(k.castsource, NULL) || ' ' || format_type(k.casttarget, NULL)") "format('CREATE CAST (%s AS %s)', format_type(k.castsource, NULL), format_type(k.casttarget, NULL)) || "
  "CASE k.castmethod WHEN 'b' THEN ' WITHOUT FUNCTION' WHEN 'i' THEN ' WITH INOUT' ELSE (SELECT ' WITH FUNCTION ' || " SIGNATURE("p", "n.nspname") " FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.oid = k.castfunc) END || "
  "CASE k.castcontext WHEN 'a' THEN ' AS ASSIGNMENT' WHEN 'i' THEN ' AS IMPLICIT' ELSE '' END || ';' "
  "FROM pg_cast k WHERE k.oid >= 16384 AND ($1::oid[]) IS NOT NULL AND " NOT_BROUGHT("pg_cast", "k.oid");

static const char dictionaries[] =
  MAKES("pg_ts_dict", "d.oid", "34", "n.nspname || '.' || d.dictname") "format('CREATE TEXT SEARCH DICTIONARY %I.%I (TEMPLATE = %I.%I%s);', n.nspname, d.dictname, tn.nspname, t.tmplname, coalesce(', ' || d.dictinitoption, '')) "
  "FROM pg_ts_dict d JOIN pg_namespace n ON n.oid = d.dictnamespace JOIN pg_ts_template t ON t.oid = d.dicttemplate JOIN pg_namespace tn ON tn.oid = t.tmplnamespace WHERE " OWN("pg_ts_dict", "d", "d.dictnamespace");

static const char configurations[] =
  MAKES("pg_ts_config", "c.oid", "35", "n.nspname || '.' || c.cfgname") "format('CREATE TEXT SEARCH CONFIGURATION %I.%I (PARSER = %I.%I);', n.nspname, c.cfgname, pn.nspname, p.prsname) || "
  "coalesce((SELECT string_agg(format(E'\\nALTER TEXT SEARCH CONFIGURATION %I.%I ADD MAPPING FOR %s WITH %s;', n.nspname, c.cfgname, m.alias, m.dictionaries), '' ORDER BY m.tokid) FROM ("
  "  SELECT k.tokid, k.alias, string_agg(format('%I.%I', dn.nspname, d.dictname), ', ' ORDER BY x.mapseqno) AS dictionaries FROM pg_ts_config_map x JOIN ts_token_type(c.cfgparser) k ON k.tokid = x.maptokentype "
  "  JOIN pg_ts_dict d ON d.oid = x.mapdict JOIN pg_namespace dn ON dn.oid = d.dictnamespace WHERE x.mapcfg = c.oid GROUP BY k.tokid, k.alias) m), '') "
  "FROM pg_ts_config c JOIN pg_namespace n ON n.oid = c.cfgnamespace JOIN pg_ts_parser p ON p.oid = c.cfgparser JOIN pg_namespace pn ON pn.oid = p.prsnamespace WHERE " OWN("pg_ts_config", "c", "c.cfgnamespace");

/* ---- relations ---- */

static const char sequences[] =
  MAKES("pg_class", "c.oid", "40", "n.nspname || '.' || c.relname") "format('CREATE %sSEQUENCE %I.%I%s %s;', CASE c.relpersistence WHEN 'u' THEN 'UNLOGGED ' ELSE '' END, n.nspname, c.relname, "
  "  CASE WHEN s.seqtypid <> 'bigint'::regtype THEN ' AS ' || format_type(s.seqtypid, NULL) ELSE '' END, " SEQUENCE_OPTIONS("s") ") "
  "FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relpersistence <> 't' AND " OWN("pg_class", "c", "c.relnamespace")
  " AND NOT EXISTS (SELECT FROM pg_depend i WHERE i.classid = 'pg_class'::regclass AND i.objid = c.oid AND i.refclassid = 'pg_class'::regclass AND i.deptype = 'i')";

/* A partition is made on its own and attached afterwards, when its identity columns come to it. A NOT NULL that has a name of its own keeps it (18). */
#define COLUMN \
  "format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)) || " FDW_OPTIONS("a.attfdwoptions") " || " COLLATE("a.attcollation", "t.typcollation") " || " \
  "CASE WHEN a.attgenerated <> '' THEN format(' GENERATED ALWAYS AS (%s)%s', pg_get_expr(ad.adbin, ad.adrelid), CASE a.attgenerated WHEN 's' THEN ' STORED' ELSE '' END) ELSE '' END || " \
  "CASE WHEN a.attidentity <> '' AND NOT c.relispartition THEN (SELECT format(' GENERATED %s AS IDENTITY (SEQUENCE NAME %I.%I %s)', CASE a.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END, " \
  "  qn.nspname, q.relname, " SEQUENCE_OPTIONS("s") ") FROM pg_depend i JOIN pg_class q ON q.oid = i.objid JOIN pg_sequence s ON s.seqrelid = q.oid JOIN pg_namespace qn ON qn.oid = q.relnamespace " \
  "  WHERE i.classid = 'pg_class'::regclass AND i.refclassid = 'pg_class'::regclass AND i.refobjid = c.oid AND i.refobjsubid = a.attnum AND i.deptype = 'i') ELSE '' END || " \
  "CASE WHEN NOT a.attnotnull OR nn.convalidated IS FALSE THEN '' WHEN nn.conname IS NULL OR nn.conname = c.relname || '_' || a.attname || '_not_null' THEN ' NOT NULL' ELSE format(' CONSTRAINT %I NOT NULL', nn.conname) END || " \
  "CASE WHEN nn.convalidated AND nn.connoinherit THEN ' NO INHERIT' ELSE '' END"
static const char tables[] =
  MAKES("pg_class", "c.oid", "50", "n.nspname || '.' || c.relname") "format('CREATE %sTABLE %I.%I (%s)', CASE WHEN c.relkind = 'f' THEN 'FOREIGN ' WHEN c.relpersistence = 'u' THEN 'UNLOGGED ' ELSE '' END, n.nspname, c.relname, "
  "  (SELECT string_agg(E'\\n    ' || " COLUMN ", ',' ORDER BY a.attnum) FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid "
  "   LEFT JOIN pg_attrdef ad ON ad.adrelid = a.attrelid AND ad.adnum = a.attnum LEFT JOIN pg_constraint nn ON nn.conrelid = c.oid AND nn.contype = 'n' AND nn.conkey = ARRAY[a.attnum] "
  "   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND (a.attislocal OR c.relispartition))) || "
  "CASE WHEN c.relispartition THEN '' ELSE coalesce((SELECT ' INHERITS (' || string_agg(format('%I.%I', pn.nspname, p.relname), ', ' ORDER BY i.inhseqno) || ')' FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent "
  "  JOIN pg_namespace pn ON pn.oid = p.relnamespace WHERE i.inhrelid = c.oid), '') END || coalesce(' PARTITION BY ' || CASE c.relkind WHEN 'p' THEN pg_get_partkeydef(c.oid) END, '') || "
  "coalesce((SELECT format(' USING %I', m.amname) FROM pg_am m WHERE m.oid = c.relam AND m.amname <> 'heap'), '') || coalesce(' WITH (' || nullif(concat_ws(', ', " OPTIONS("c.reloptions") ", "
  "  (SELECT string_agg(format('toast.%s=%L', split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)), ', ') FROM pg_class x, unnest(x.reloptions) o WHERE x.oid = c.reltoastrelid)), '') || ')', '') || "
  "coalesce((SELECT format(' SERVER %I', fs.srvname) || " FDW_OPTIONS("ft.ftoptions") " FROM pg_foreign_table ft JOIN pg_foreign_server fs ON fs.oid = ft.ftserver WHERE ft.ftrelid = c.oid), '') || ';' || "
  "CASE WHEN c.reloftype <> 0 THEN format(E'\\nALTER TABLE %I.%I OF %s;', n.nspname, c.relname, format_type(c.reloftype, NULL)) ELSE '' END "
  "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND " OWN("pg_class", "c", "c.relnamespace");

static const char attachments[] =
  "SELECT 1::oid, c.oid, 51, n.nspname || '.' || c.relname, format('ALTER TABLE ONLY %I.%I ATTACH PARTITION %I.%I %s;', pn.nspname, p.relname, n.nspname, c.relname, pg_get_expr(c.relpartbound, c.oid)) "
  "FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid AND c.relispartition AND c.relkind IN ('r', 'p', 'f') JOIN pg_namespace n ON n.oid = c.relnamespace "
  "JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace WHERE " OWN("pg_class", "c", "c.relnamespace");

static const char defaults[] =
  MAKES("pg_attrdef", "ad.oid", "55", "n.nspname || '.' || c.relname || '.' || a.attnum") "format('ALTER TABLE ONLY %I.%I ALTER COLUMN %I SET DEFAULT %s;', n.nspname, c.relname, a.attname, pg_get_expr(ad.adbin, ad.adrelid)) "
  "FROM pg_attrdef ad JOIN pg_attribute a ON a.attrelid = ad.adrelid AND a.attnum = ad.adnum AND a.attgenerated = '' JOIN pg_class c ON c.oid = ad.adrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
  "WHERE c.relpersistence <> 't' AND " OWN("pg_class", "c", "c.relnamespace");

/* Those that came from a parent come from it again. Partitions have indexes of their own, which are attached. */
static const char constraints[] =
  MAKES("pg_constraint", "k.oid", "CASE k.contype WHEN 'f' THEN 80 WHEN 'c' THEN 60 ELSE 62 END", "n.nspname || '.' || c.relname || '.' || k.conname")
  "format('ALTER TABLE %s%I.%I ADD CONSTRAINT %I %s;', CASE WHEN k.contype IN ('p', 'u', 'x') OR (k.contype = 'f' AND c.relkind <> 'p') THEN 'ONLY ' ELSE '' END, n.nspname, c.relname, k.conname, pg_get_constraintdef(k.oid)) "
  "FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace "
  "WHERE (k.contype IN ('p', 'u', 'x') OR (k.contype = 'c' AND k.conislocal) OR (k.contype = 'f' AND k.conparentid = 0) OR (k.contype = 'n' AND NOT k.convalidated AND k.conislocal)) "
  "AND c.relpersistence <> 't' AND " OWN("pg_class", "c", "c.relnamespace");

/* pg_dump, too, leaves out what a failed CONCURRENTLY left. */
static const char indexes[] =
  MAKES("pg_class", "x.oid", "64", "n.nspname || '.' || x.relname") "pg_get_indexdef(x.oid) || ';' "
  "FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace JOIN pg_class c ON c.oid = i.indrelid "
  "WHERE (i.indisvalid OR x.relkind = 'I') AND c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't' AND " OWN("pg_class", "c", "c.relnamespace")
  " AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.oid AND k.conrelid = c.oid AND k.contype IN ('p', 'u', 'x'))";

static const char index_attachments[] =
  "SELECT 2::oid, x.oid, 66, n.nspname || '.' || x.relname, format('ALTER INDEX %I.%I ATTACH PARTITION %I.%I;', pn.nspname, p.relname, n.nspname, x.relname) "
  "FROM pg_inherits i JOIN pg_class x ON x.oid = i.inhrelid AND x.relkind IN ('i', 'I') JOIN pg_namespace n ON n.oid = x.relnamespace JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace "
  "WHERE " OWN("pg_class", "x", "x.relnamespace");

static const char views[] =
  MAKES("pg_class", "c.oid", "70", "n.nspname || '.' || c.relname") "format('CREATE %sVIEW %I.%I', CASE c.relkind WHEN 'm' THEN 'MATERIALIZED ' ELSE '' END, n.nspname, c.relname) || "
  "coalesce((SELECT format(' USING %I', m.amname) FROM pg_am m WHERE m.oid = c.relam AND m.amname <> 'heap'), '') || coalesce(' WITH (' || " OPTIONS("c.reloptions") " || ')', '') || "
  "E' AS\\n' || rtrim(pg_get_viewdef(c.oid), ';') || CASE c.relkind WHEN 'm' THEN E'\\n  WITH NO DATA;' ELSE ';' END "
  "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('v', 'm') AND c.relpersistence <> 't' AND " OWN("pg_class", "c", "c.relnamespace");

/* ---- what hangs on relations ---- */

#define ENABLE(state, what, name) \
  "CASE " state " WHEN 'D' THEN format(E'\\nALTER TABLE %I.%I DISABLE " what " %I;', n.nspname, c.relname, " name ") WHEN 'R' THEN format(E'\\nALTER TABLE %I.%I ENABLE REPLICA " what " %I;', n.nspname, c.relname, " name ") " \
  "WHEN 'A' THEN format(E'\\nALTER TABLE %I.%I ENABLE ALWAYS " what " %I;', n.nspname, c.relname, " name ") ELSE '' END"
static const char triggers[] =
  MAKES("pg_trigger", "t.oid", "84", "n.nspname || '.' || c.relname || '.' || t.tgname") "pg_get_triggerdef(t.oid) || ';' || " ENABLE("t.tgenabled", "TRIGGER", "t.tgname")
  " FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND " OWN("pg_class", "c", "c.relnamespace");

static const char rules[] =
  MAKES("pg_rewrite", "r.oid", "85", "n.nspname || '.' || c.relname || '.' || r.rulename") "pg_get_ruledef(r.oid) || " ENABLE("r.ev_enabled", "RULE", "r.rulename")
  " FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace WHERE r.rulename <> '_RETURN' AND " OWN("pg_class", "c", "c.relnamespace");

static const char policies[] =
  MAKES("pg_policy", "p.oid", "86", "n.nspname || '.' || c.relname || '.' || p.polname") "format('CREATE POLICY %I ON %I.%I AS %s FOR %s TO %s', p.polname, n.nspname, c.relname, CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END, "
  "  CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END, "
  "  (SELECT string_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END, ', ' ORDER BY 1) FROM unnest(p.polroles) r)) || "
  "coalesce(' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', '') || coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', '') || ';' "
  "FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE " OWN("pg_class", "c", "c.relnamespace");

static const char statistics[] =
  MAKES("pg_statistic_ext", "s.oid", "83", "n.nspname || '.' || s.stxname") "pg_get_statisticsobjdef(s.oid) || ';' || "
  "CASE WHEN (to_jsonb(s) ->> 'stxstattarget')::integer >= 0 THEN format(E'\\nALTER STATISTICS %I.%I SET STATISTICS %s;', n.nspname, s.stxname, to_jsonb(s) ->> 'stxstattarget') ELSE '' END "
  "FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE " OWN("pg_statistic_ext", "s", "s.stxnamespace");

/* The schemas and the columns and conditions of tables are 15's. */
static const char publications[] =
  MAKES("pg_publication", "p.oid", "90", "p.pubname") "format('CREATE PUBLICATION %I%s WITH (publish = %L%s%s);', p.pubname, CASE WHEN p.puballtables THEN ' FOR ALL TABLES' ELSE '' END, "
  "  concat_ws(', ', CASE WHEN p.pubinsert THEN 'insert' END, CASE WHEN p.pubupdate THEN 'update' END, CASE WHEN p.pubdelete THEN 'delete' END, CASE WHEN p.pubtruncate THEN 'truncate' END), "
  "  CASE WHEN p.pubviaroot THEN ', publish_via_partition_root = true' ELSE '' END, CASE to_jsonb(p) ->> 'pubgencols' WHEN 's' THEN ', publish_generated_columns = stored' ELSE '' END) "
  "FROM pg_publication p WHERE ($1::oid[]) IS NOT NULL AND " NOT_EXTENSION("pg_publication", "p.oid");
static const char published[] =
  MAKES("pg_publication_rel", "r.oid", "91", "p.pubname || ' ' || n.nspname || '.' || c.relname") "format('ALTER PUBLICATION %I ADD TABLE ONLY %I.%I%s%s;', p.pubname, n.nspname, c.relname, "
  "  (SELECT ' (' || string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) || ')' FROM unnest(string_to_array(j.row ->> 'prattrs', ' ')) k JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k::integer), "
  "  coalesce(' WHERE (' || pg_get_expr((j.row ->> 'prqual')::pg_node_tree, c.oid) || ')', '')) "
  "FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace, LATERAL (SELECT to_jsonb(r) AS row) j WHERE " OWN("pg_class", "c", "c.relnamespace");

static const char event_triggers[] =
  MAKES("pg_event_trigger", "t.oid", "95", "t.evtname") "format('CREATE EVENT TRIGGER %I ON %s%s EXECUTE FUNCTION %s();', t.evtname, t.evtevent, "
  "  (SELECT ' WHEN TAG IN (' || string_agg(quote_literal(g), ', ') || ')' FROM unnest(t.evttags) g), t.evtfoid::regproc) || "
  "CASE t.evtenabled WHEN 'D' THEN format(E'\\nALTER EVENT TRIGGER %I DISABLE;', t.evtname) WHEN 'R' THEN format(E'\\nALTER EVENT TRIGGER %I ENABLE REPLICA;', t.evtname) "
  "  WHEN 'A' THEN format(E'\\nALTER EVENT TRIGGER %I ENABLE ALWAYS;', t.evtname) ELSE '' END "
  "FROM pg_event_trigger t WHERE ($1::oid[]) IS NOT NULL AND " NOT_EXTENSION("pg_event_trigger", "t.oid");

const char *const ddl_makers[] = {
  schemas, extensions, wrappers, servers, collations, enums, domains, domain_checks, composites, ranges, functions, aggregates, operators, casts, dictionaries,
  configurations, sequences, tables, attachments, defaults, constraints, indexes, index_attachments, views, triggers, rules, policies, statistics, publications, published, event_triggers, NULL};

/* ---- in which order ---- */

const char ddl_aliases_sql[] =
  "SELECT 'pg_type'::regclass::oid, t.oid, 'pg_class'::regclass::oid, t.typrelid FROM pg_type t WHERE t.typrelid <> 0 AND t.oid >= 16384 AND ($1::oid[]) IS NOT NULL "
  "UNION ALL SELECT 'pg_type'::regclass, t.typarray, 'pg_type'::regclass, t.oid FROM pg_type t WHERE t.typarray <> 0 AND t.oid >= 16384 "
  "UNION ALL SELECT 'pg_type'::regclass, (to_jsonb(r) ->> 'rngmultitypid')::oid, 'pg_type'::regclass, r.rngtypid FROM pg_range r WHERE r.rngtypid >= 16384 AND to_jsonb(r) ->> 'rngmultitypid' IS NOT NULL "
  "UNION ALL SELECT 'pg_rewrite'::regclass, r.oid, 'pg_class'::regclass, r.ev_class FROM pg_rewrite r WHERE r.rulename = '_RETURN' AND r.oid >= 16384 "
  "UNION ALL SELECT 'pg_attrdef'::regclass, ad.oid, 'pg_class'::regclass, ad.adrelid FROM pg_attrdef ad JOIN pg_attribute a ON a.attrelid = ad.adrelid AND a.attnum = ad.adnum WHERE a.attgenerated <> '' "
  "UNION ALL SELECT 'pg_constraint'::regclass, k.oid, 'pg_type'::regclass, k.contypid FROM pg_constraint k WHERE k.contypid <> 0 AND (k.convalidated OR k.contype <> 'c') "
  "UNION ALL SELECT 'pg_class'::regclass, k.conindid, 'pg_constraint'::regclass, k.oid FROM pg_constraint k WHERE k.contype IN ('p', 'u', 'x') AND k.conindid <> 0 "
  "UNION ALL SELECT 'pg_class'::regclass, d.objid, 'pg_class'::regclass, d.refobjid FROM pg_depend d JOIN pg_class q ON q.oid = d.objid AND q.relkind = 'S' "
  "  WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'i'";

/* A sequence need not wait for the column that owns it. Checks of a partitioned table come after its partitions, so that they inherit them; policies and
 * indexes of a partition after its attachment, since what is attached has to be alike. */
const char ddl_needs_sql[] =
  "SELECT d.classid, d.objid, d.refclassid, d.refobjid FROM pg_depend d WHERE d.objid >= 16384 AND d.refobjid >= 16384 AND d.deptype <> 'e' AND ($1::oid[]) IS NOT NULL "
  "  AND NOT (d.deptype = 'a' AND d.classid = 'pg_class'::regclass AND EXISTS (SELECT FROM pg_class q WHERE q.oid = d.objid AND q.relkind = 'S')) "
  "UNION ALL SELECT 1, i.inhrelid, 'pg_class'::regclass, r FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid AND c.relispartition, unnest(ARRAY[i.inhrelid, i.inhparent]) r "
  "UNION ALL SELECT 2, i.inhrelid, 'pg_class'::regclass, r FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid AND c.relkind IN ('i', 'I'), unnest(ARRAY[i.inhrelid, i.inhparent]) r "
  "UNION ALL SELECT 'pg_constraint'::regclass, k.oid, 1, i.inhrelid FROM pg_constraint k JOIN pg_inherits i ON i.inhparent = k.conrelid JOIN pg_class c ON c.oid = i.inhrelid AND c.relispartition "
  "UNION ALL SELECT 'pg_class'::regclass, c.oid, 'pg_type'::regclass, c.reloftype FROM pg_class c WHERE c.reloftype <> 0";

/* ---- when everything is there ---- */

static const char owned_sequences[] =
  "SELECT format('ALTER SEQUENCE %I.%I OWNED BY %I.%I.%I;', n.nspname, c.relname, tn.nspname, t.relname, a.attname) "
  "FROM pg_depend d JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S' JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace tn ON tn.oid = t.relnamespace "
  "JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid "
  "WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'a' AND d.refobjsubid > 0 AND " OWN("pg_class", "c", "c.relnamespace") " ORDER BY n.nspname, c.relname";

/* Some builds keep marks of their own among them. */
#define USER_OPTIONS "CASE WHEN a.attoptions IS NOT NULL THEN (SELECT array_agg(u ORDER BY u) FROM unnest(a.attoptions) u WHERE starts_with(u, 'n_distinct')) END"
static const char column_properties[] =
  "SELECT concat_ws(E'\\n', "
  "  CASE WHEN a.attstorage <> t.typstorage THEN format('ALTER TABLE ONLY %I.%I ALTER COLUMN %I SET STORAGE %s;', n.nspname, c.relname, a.attname, CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END) END, "
  "  CASE j.row ->> 'attcompression' WHEN 'p' THEN format('ALTER TABLE ONLY %I.%I ALTER COLUMN %I SET COMPRESSION pglz;', n.nspname, c.relname, a.attname) WHEN 'l' THEN format('ALTER TABLE ONLY %I.%I ALTER COLUMN %I SET COMPRESSION lz4;', n.nspname, c.relname, a.attname) END, "
  "  CASE WHEN (j.row ->> 'attstattarget')::integer >= 0 THEN format('ALTER TABLE ONLY %I.%I ALTER COLUMN %I SET STATISTICS %s;', n.nspname, c.relname, a.attname, j.row ->> 'attstattarget') END, "
  "  'ALTER TABLE ONLY ' || " NAME("n.nspname", "c.relname") " || format(' ALTER COLUMN %I SET (', a.attname) || " OPTIONS(USER_OPTIONS) " || ');', "
  "  CASE WHEN a.attnotnull AND NOT a.attislocal AND NOT c.relispartition AND NOT EXISTS (SELECT FROM pg_inherits i JOIN pg_attribute pa ON pa.attrelid = i.inhparent AND pa.attname = a.attname WHERE i.inhrelid = c.oid AND pa.attnotnull) "
  "    THEN format('ALTER TABLE ONLY %I.%I ALTER COLUMN %I SET NOT NULL;', n.nspname, c.relname, a.attname) END) "
  "FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace, LATERAL (SELECT to_jsonb(a) AS row) j "
  "WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'f', 'm') AND c.relpersistence <> 't' AND " OWN("pg_class", "c", "c.relnamespace")
  "  AND (a.attstorage <> t.typstorage OR coalesce(j.row ->> 'attcompression', '') <> '' OR (j.row ->> 'attstattarget')::integer >= 0 OR " USER_OPTIONS " IS NOT NULL OR (a.attnotnull AND NOT a.attislocal)) ORDER BY n.nspname, c.relname, a.attnum";

static const char table_properties[] =
  "SELECT concat_ws(E'\\n', CASE WHEN c.relrowsecurity THEN format('ALTER TABLE %I.%I ENABLE ROW LEVEL SECURITY;', n.nspname, c.relname) END, CASE WHEN c.relforcerowsecurity THEN format('ALTER TABLE ONLY %I.%I FORCE ROW LEVEL SECURITY;', n.nspname, c.relname) END, "
  "  CASE c.relreplident WHEN 'n' THEN format('ALTER TABLE ONLY %I.%I REPLICA IDENTITY NOTHING;', n.nspname, c.relname) WHEN 'f' THEN format('ALTER TABLE ONLY %I.%I REPLICA IDENTITY FULL;', n.nspname, c.relname) "
  "    WHEN 'i' THEN (SELECT format('ALTER TABLE ONLY %I.%I REPLICA IDENTITY USING INDEX %I;', n.nspname, c.relname, x.relname) FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid AND i.indisreplident) END, "
  "  (SELECT string_agg(format('ALTER TABLE %I.%I CLUSTER ON %I;', n.nspname, c.relname, x.relname), '') FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = c.oid AND i.indisclustered)) "
  "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't' AND " OWN("pg_class", "c", "c.relnamespace")
  "  AND (c.relrowsecurity OR c.relforcerowsecurity OR c.relreplident IN ('n', 'f', 'i') OR EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisclustered)) ORDER BY n.nspname, c.relname";

/* Everything that has an owner, a comment or privileges. `owned` is what ALTER … OWNER calls it; NULL: it has none of its own. */
#define RELATION_KIND "CASE c.relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END"
#define ROUTINE_KIND "CASE p.prokind WHEN 'a' THEN 'AGGREGATE' WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END"
#define THINGS \
  "WITH things (classid, objid, subid, kind, name, owned, owner, granted, acl, acltype, part) AS (" \
  "SELECT 'pg_namespace'::regclass::oid, n.oid, 0, 'SCHEMA', quote_ident(n.nspname), CASE WHEN n.nspname <> 'public' THEN 'SCHEMA' END, n.nspowner, 'SCHEMA', n.nspacl, 'n', NULL FROM pg_namespace n WHERE " IN_SCHEMAS("n.oid") \
  "UNION ALL SELECT 'pg_class'::regclass, c.oid, 0, " RELATION_KIND ", " NAME("n.nspname", "c.relname") ", CASE WHEN c.relkind <> 'S' OR NOT EXISTS (SELECT FROM pg_depend o WHERE o.classid = 'pg_class'::regclass AND o.objid = c.oid AND o.deptype IN ('a', 'i')) THEN " RELATION_KIND " END, " \
  "  c.relowner, CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.relacl, CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END, NULL FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S') AND c.relpersistence <> 't' AND " OWN("pg_class", "c", "c.relnamespace") \
  "UNION ALL SELECT 'pg_class'::regclass, c.oid, a.attnum, 'COLUMN', format('%I.%I.%I', n.nspname, c.relname, a.attname), NULL, c.relowner, 'TABLE', a.attacl, 'c', a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace " \
  "  WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'f', 'v', 'm', 'c') AND c.relpersistence <> 't' AND " OWN("pg_class", "c", "c.relnamespace") \
  "UNION ALL SELECT 'pg_class'::regclass, c.oid, 0, 'INDEX', " NAME("n.nspname", "c.relname") ", NULL, c.relowner, NULL, NULL, NULL, NULL FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('i', 'I') AND " OWN("pg_class", "c", "c.relnamespace") \
  "UNION ALL SELECT 'pg_proc'::regclass, p.oid, 0, " ROUTINE_KIND ", " SIGNATURE("p", "n.nspname") ", " ROUTINE_KIND ", p.proowner, CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, p.proacl, 'f', NULL FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE " IN_SCHEMAS("p.pronamespace") " AND " NOT_BROUGHT("pg_proc", "p.oid") \
  "UNION ALL SELECT 'pg_type'::regclass, t.oid, 0, CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, " NAME("n.nspname", "t.typname") ", CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, t.typowner, 'TYPE', t.typacl, 'T', NULL FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace " \
  "  WHERE (t.typtype IN ('e', 'd', 'r') OR (t.typtype = 'c' AND EXISTS (SELECT FROM pg_class k WHERE k.oid = t.typrelid AND k.relkind = 'c'))) AND " OWN("pg_type", "t", "t.typnamespace") \
  "UNION ALL SELECT 'pg_collation'::regclass, l.oid, 0, 'COLLATION', " NAME("n.nspname", "l.collname") ", 'COLLATION', l.collowner, NULL, NULL, NULL, NULL FROM pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace WHERE " OWN("pg_collation", "l", "l.collnamespace") \
  "UNION ALL SELECT 'pg_statistic_ext'::regclass, s.oid, 0, 'STATISTICS', " NAME("n.nspname", "s.stxname") ", 'STATISTICS', s.stxowner, NULL, NULL, NULL, NULL FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE " OWN("pg_statistic_ext", "s", "s.stxnamespace") \
  "UNION ALL SELECT 'pg_constraint'::regclass, k.oid, 0, 'CONSTRAINT', format('%I ON %I.%I', k.conname, n.nspname, c.relname), NULL, c.relowner, NULL, NULL, NULL, NULL FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE " OWN("pg_class", "c", "c.relnamespace") \
  "UNION ALL SELECT 'pg_constraint'::regclass, k.oid, 0, 'CONSTRAINT', format('%I ON DOMAIN %I.%I', k.conname, n.nspname, t.typname), NULL, t.typowner, NULL, NULL, NULL, NULL FROM pg_constraint k JOIN pg_type t ON t.oid = k.contypid JOIN pg_namespace n ON n.oid = t.typnamespace WHERE " OWN("pg_type", "t", "t.typnamespace") \
  "UNION ALL SELECT 'pg_trigger'::regclass, g.oid, 0, 'TRIGGER', format('%I ON %I.%I', g.tgname, n.nspname, c.relname), NULL, c.relowner, NULL, NULL, NULL, NULL FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE NOT g.tgisinternal AND " OWN("pg_class", "c", "c.relnamespace") \
  "UNION ALL SELECT 'pg_policy'::regclass, y.oid, 0, 'POLICY', format('%I ON %I.%I', y.polname, n.nspname, c.relname), NULL, c.relowner, NULL, NULL, NULL, NULL FROM pg_policy y JOIN pg_class c ON c.oid = y.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE " OWN("pg_class", "c", "c.relnamespace") \
  "UNION ALL SELECT 'pg_rewrite'::regclass, r.oid, 0, 'RULE', format('%I ON %I.%I', r.rulename, n.nspname, c.relname), NULL, c.relowner, NULL, NULL, NULL, NULL FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace WHERE r.rulename <> '_RETURN' AND " OWN("pg_class", "c", "c.relnamespace") \
  "UNION ALL SELECT 'pg_operator'::regclass, o.oid, 0, 'OPERATOR', format('%I.%s (%s, %s)', n.nspname, o.oprname, CASE o.oprleft WHEN 0 THEN 'NONE' ELSE format_type(o.oprleft, NULL) END, format_type(o.oprright, NULL)), 'OPERATOR', o.oprowner, NULL, NULL, NULL, NULL FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE " OWN("pg_operator", "o", "o.oprnamespace") \
  "UNION ALL SELECT 'pg_ts_dict'::regclass, d.oid, 0, 'TEXT SEARCH DICTIONARY', " NAME("n.nspname", "d.dictname") ", 'TEXT SEARCH DICTIONARY', d.dictowner, NULL, NULL, NULL, NULL FROM pg_ts_dict d JOIN pg_namespace n ON n.oid = d.dictnamespace WHERE " OWN("pg_ts_dict", "d", "d.dictnamespace") \
  "UNION ALL SELECT 'pg_ts_config'::regclass, d.oid, 0, 'TEXT SEARCH CONFIGURATION', " NAME("n.nspname", "d.cfgname") ", 'TEXT SEARCH CONFIGURATION', d.cfgowner, NULL, NULL, NULL, NULL FROM pg_ts_config d JOIN pg_namespace n ON n.oid = d.cfgnamespace WHERE " OWN("pg_ts_config", "d", "d.cfgnamespace") \
  "UNION ALL SELECT 'pg_extension'::regclass, e.oid, 0, 'EXTENSION', quote_ident(e.extname), NULL, e.extowner, NULL, NULL, NULL, NULL FROM pg_extension e WHERE e.extname <> 'plpgsql' " \
  "UNION ALL SELECT 'pg_publication'::regclass, p.oid, 0, 'PUBLICATION', quote_ident(p.pubname), 'PUBLICATION', p.pubowner, NULL, NULL, NULL, NULL FROM pg_publication p " \
  "UNION ALL SELECT 'pg_event_trigger'::regclass, t.oid, 0, 'EVENT TRIGGER', quote_ident(t.evtname), 'EVENT TRIGGER', t.evtowner, NULL, NULL, NULL, NULL FROM pg_event_trigger t WHERE " NOT_EXTENSION("pg_event_trigger", "t.oid") \
  "UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, w.oid, 0, 'FOREIGN DATA WRAPPER', quote_ident(w.fdwname), 'FOREIGN DATA WRAPPER', w.fdwowner, 'FOREIGN DATA WRAPPER', w.fdwacl, 'F', NULL FROM pg_foreign_data_wrapper w WHERE " NOT_EXTENSION("pg_foreign_data_wrapper", "w.oid") \
  "UNION ALL SELECT 'pg_foreign_server'::regclass, s.oid, 0, 'SERVER', quote_ident(s.srvname), 'SERVER', s.srvowner, 'FOREIGN SERVER', s.srvacl, 'S', NULL FROM pg_foreign_server s WHERE " NOT_EXTENSION("pg_foreign_server", "s.oid") ") "

static const char owners[] = THINGS "SELECT format('ALTER %s %s OWNER TO %I;', owned, name, pg_get_userbyid(owner)) FROM things WHERE owned IS NOT NULL ORDER BY owned, name";

static const char comments[] =
  THINGS "SELECT format('COMMENT ON %s %s IS %L;', t.kind, t.name, d.description) FROM things t JOIN pg_description d ON d.classoid = t.classid AND d.objoid = t.objid AND d.objsubid = t.subid "
  "WHERE t.objid >= 16384 ORDER BY t.kind, t.name";

/* Against what an object has from its making, which initdb may have set (the schema public). */
#define GRANTS \
  ", graded AS (SELECT t.*, coalesce((SELECT i.initprivs FROM pg_init_privs i WHERE i.objoid = t.objid AND i.classoid = t.classid AND i.objsubid = t.subid), acldefault(t.acltype::\"char\", t.owner)) AS base FROM things t WHERE t.acl IS NOT NULL) "
#define PRIVILEGES "string_agg(x.privilege_type || coalesce('(' || quote_ident(g.part) || ')', ''), ', ' ORDER BY x.n)"
#define TARGET "g.granted, coalesce((SELECT format('%I.%I', cn.nspname, c.relname) FROM pg_class c JOIN pg_namespace cn ON cn.oid = c.relnamespace WHERE g.part IS NOT NULL AND c.oid = g.objid), g.name)"
#define GRANTEE "CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END"
static const char revokes[] =
  THINGS GRANTS "SELECT format('REVOKE %s ON %s %s FROM %s;', " PRIVILEGES ", " TARGET ", " GRANTEE ") FROM graded g, aclexplode(g.base) WITH ORDINALITY x (grantor, grantee, privilege_type, is_grantable, n) "
  "WHERE NOT EXISTS (SELECT FROM aclexplode(g.acl) a WHERE a.grantee = x.grantee AND a.privilege_type = x.privilege_type) GROUP BY g.objid, g.kind, g.name, g.granted, g.part, x.grantee ORDER BY g.kind, g.name, min(x.n)";
static const char grants[] =
  THINGS GRANTS "SELECT format('GRANT %s ON %s %s TO %s%s;', " PRIVILEGES ", " TARGET ", " GRANTEE ", CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) "
  "FROM graded g, aclexplode(g.acl) WITH ORDINALITY x (grantor, grantee, privilege_type, is_grantable, n) "
  "WHERE NOT EXISTS (SELECT FROM aclexplode(g.base) a WHERE a.grantee = x.grantee AND a.privilege_type = x.privilege_type AND a.is_grantable = x.is_grantable) "
  "GROUP BY g.objid, g.kind, g.name, g.granted, g.part, x.grantee, x.is_grantable ORDER BY g.kind, g.name, min(x.n)";

#define DEFAULT_KIND "CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES' WHEN 'L' THEN 'LARGE OBJECTS' ELSE 'SCHEMAS' END"
#define DEFAULT_HEAD "format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s', pg_get_userbyid(d.defaclrole), coalesce(' IN SCHEMA ' || quote_ident(n.nspname), ''))"
#define DEFAULT_BASE "CASE WHEN d.defaclnamespace = 0 THEN acldefault(CASE d.defaclobjtype WHEN 'S' THEN 's' ELSE d.defaclobjtype END, d.defaclrole) END"
#define DEFAULT_FROM "FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace"
static const char default_privileges[] =
  "SELECT s.sql FROM (SELECT " DEFAULT_HEAD " || format(' REVOKE %s ON %s FROM %s;', string_agg(x.privilege_type, ', ' ORDER BY x.privilege_type), " DEFAULT_KIND ", " GRANTEE ") AS sql, 0 AS step "
  DEFAULT_FROM ", aclexplode(" DEFAULT_BASE ") x WHERE ($1::oid[]) IS NOT NULL AND NOT EXISTS (SELECT FROM aclexplode(d.defaclacl) a WHERE a.grantee = x.grantee AND a.privilege_type = x.privilege_type) "
  "GROUP BY d.oid, d.defaclrole, d.defaclobjtype, n.nspname, x.grantee "
  "UNION ALL SELECT " DEFAULT_HEAD " || format(' GRANT %s ON %s TO %s%s;', string_agg(x.privilege_type, ', ' ORDER BY x.privilege_type), " DEFAULT_KIND ", " GRANTEE ", CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), 1 "
  DEFAULT_FROM ", aclexplode(d.defaclacl) x WHERE (d.defaclnamespace = 0 OR " IN_SCHEMAS("d.defaclnamespace") ") AND NOT EXISTS (SELECT FROM aclexplode(" DEFAULT_BASE ") a WHERE a.grantee = x.grantee AND a.privilege_type = x.privilege_type AND a.is_grantable = x.is_grantable) "
  "GROUP BY d.oid, d.defaclrole, d.defaclobjtype, n.nspname, x.grantee, x.is_grantable) s ORDER BY s.step, s.sql";

const char *const ddl_finishers[] = {owned_sequences, column_properties, table_properties, owners, comments, revokes, grants, default_privileges, NULL};
// clang-format on
