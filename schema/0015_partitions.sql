-- How the days of jobs and results are kept. Their rows are written once: pages are filled, and autovacuum looks at a day's statistics when it
-- has grown by half, not by a tenth; of a young day that was every few seconds under load, for what no plan depends on (all reads are by id).

CREATE OR REPLACE FUNCTION ensure_partitions(days_back integer, days_ahead integer) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
  parent text;
  day date;
  child text;
  made integer := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('autodb.ensure_partitions'));
  FOREACH parent IN ARRAY ARRAY['jobs', 'results'] LOOP
    FOR day IN SELECT generate_series((now() AT TIME ZONE 'UTC')::date - days_back, (now() AT TIME ZONE 'UTC')::date + days_ahead, interval '1 day') LOOP
      child := format('%s_%s', parent, to_char(day, 'YYYYMMDD'));
      CONTINUE WHEN to_regclass(format('autodb.%I', child)) IS NOT NULL;
      EXECUTE format('CREATE TABLE autodb.%I PARTITION OF autodb.%I FOR VALUES FROM (%L) TO (%L)', child, parent,
        autodb.uuid7_floor(day::timestamp AT TIME ZONE 'UTC'), autodb.uuid7_floor((day + 1)::timestamp AT TIME ZONE 'UTC'));
      PERFORM autodb.tune_partition(child);
      made := made + 1;
    END LOOP;
  END LOOP;
  RETURN made;
END $$;

CREATE FUNCTION tune_partition(child text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('ALTER TABLE autodb.%I RESET (fillfactor)', child);
  EXECUTE format('ALTER TABLE autodb.%I SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.5, '
    'autovacuum_analyze_threshold = 50000)', child);
END $$;

SELECT tune_partition(c.relname) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent IN ('jobs'::regclass, 'results'::regclass);
