-- What event streams need to number what they send, and nothing more: the state of a job is the log (api/events.h).
--
-- An event's id grows with the job's attempts, its owner's retries and its progress. The two that were not counted yet are: how often the
-- owner asked for a job again, in the record because it outlives both queue and result, and how often its progress was written.
ALTER TABLE jobs ADD COLUMN retries integer NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN progress_seq integer NOT NULL DEFAULT 0;

-- A list of the few that ended badly must not walk through all that ended well, and those cost nothing here.
CREATE INDEX results_unsuccessful ON results (state, job_id) WHERE state <> 'succeeded';

-- Nobody ever wrote an event per change.
DROP TABLE job_events;

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
      EXECUTE format('ALTER TABLE autodb.%I SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05)', child);
      made := made + 1;
    END LOOP;
  END LOOP;
  RETURN made;
END $$;
