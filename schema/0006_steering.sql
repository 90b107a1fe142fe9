-- Steering: limits of owners, the turns of those that may not run everything at once, pauses, delayed jobs, and how old days go.

ALTER TABLE owners
  ADD COLUMN rate integer CHECK (rate >= 0),               -- jobs accepted a second; NULL: AUTODB_OWNER_RATE, 0: no limit
  ADD COLUMN burst integer CHECK (burst >= 0),             -- of them at once; NULL and 0: two seconds' worth
  ADD COLUMN max_running integer CHECK (max_running >= 0); -- jobs that run at once, on all workers; NULL: AUTODB_OWNER_RUNNING, 0: no cap
CREATE INDEX owners_capped ON owners (id) WHERE max_running > 0;

ALTER TABLE jobs ADD COLUMN run_at timestamptz;            -- what the owner asked for; NULL: at once

-- Kinds and lanes (no name is both) that nothing is claimed of. One being resumed stays until the sweeper has rung for all that waited.
CREATE TABLE pauses (
  name text PRIMARY KEY,
  paused_at timestamptz NOT NULL DEFAULT now(),
  resumed_at timestamptz
);

-- Only of owners with a cap. A row without an attempt waits: its job was looked at, found no room, and is rung when there is some. One with an
-- attempt takes up room, for as long as the queue says that its job runs as this attempt; so nothing that ends a job needs to know of it.
CREATE TABLE turns (
  job_id uuid PRIMARY KEY,
  owner_id uuid NOT NULL,
  lane job_lane NOT NULL,
  attempt integer
);
CREATE INDEX turns_waiting ON turns (owner_id, lane, job_id) WHERE attempt IS NULL;
CREATE INDEX turns_taken ON turns (owner_id) WHERE attempt IS NOT NULL;

-- Claims those of the jobs that their owners have room for; the others wait in turns. The owner's row is the lock: each statement of a volatile
-- function sees what was committed before it began, so who waited for the lock counts what its holder claimed.
CREATE FUNCTION claim_capped(worker text, lease_seconds integer, ids uuid[], standard_cap integer)
RETURNS TABLE (id uuid, kind text, lane job_lane, tier smallint, attempt integer, owner_id uuid)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  PERFORM o.id FROM autodb.owners o WHERE coalesce(o.max_running, standard_cap) > 0
    AND o.id IN (SELECT q.owner_id FROM autodb.queue q WHERE q.id = ANY (ids)) ORDER BY o.id FOR NO KEY UPDATE;
  IF NOT FOUND AND standard_cap = 0 THEN
    RETURN;
  END IF;
  DELETE FROM autodb.turns t WHERE t.attempt IS NOT NULL AND t.owner_id IN (SELECT q.owner_id FROM autodb.queue q WHERE q.id = ANY (ids))
    AND NOT EXISTS (SELECT FROM autodb.queue q WHERE q.id = t.job_id AND q.state = 'running' AND q.attempt = t.attempt);
  RETURN QUERY
  WITH wanted AS MATERIALIZED (
    SELECT q.id, q.owner_id, q.lane, CASE WHEN o.id IS NULL THEN 0 ELSE coalesce(o.max_running, standard_cap) END AS cap,
           row_number() OVER (PARTITION BY q.owner_id ORDER BY q.lane, q.tier, q.run_at, q.id) AS place
    FROM autodb.queue q LEFT JOIN autodb.owners o ON o.id = q.owner_id
    WHERE q.id = ANY (ids) AND q.state = 'queued' AND q.run_at <= now() AND NOT q.cancel_requested
      AND NOT ARRAY[q.kind, q.lane::text] && ARRAY(SELECT p.name FROM autodb.pauses p WHERE p.resumed_at IS NULL)),
  judged AS MATERIALIZED (
    SELECT w.id, w.owner_id, w.lane, w.cap, w.cap = 0 OR w.place + (SELECT count(*) FROM autodb.turns t
      WHERE t.owner_id = w.owner_id AND t.attempt IS NOT NULL) <= w.cap AS goes FROM wanted w),
  claimed AS (
    UPDATE autodb.queue q SET state = 'running', attempt = q.attempt + 1, lease_owner = worker, started_at = clock_timestamp(), progress = NULL,
      lease_until = clock_timestamp() + lease_seconds * interval '1 second'
    FROM judged j WHERE q.id = j.id AND j.goes AND q.state = 'queued' AND NOT q.cancel_requested
    RETURNING q.id, q.kind, q.lane, q.tier, q.attempt, q.owner_id, j.cap),
  taken AS (
    INSERT INTO autodb.turns (job_id, owner_id, lane, attempt) SELECT c.id, c.owner_id, c.lane, c.attempt FROM claimed c WHERE c.cap > 0
    ON CONFLICT (job_id) DO UPDATE SET attempt = excluded.attempt),
  waiting AS (
    INSERT INTO autodb.turns (job_id, owner_id, lane) SELECT j.id, j.owner_id, j.lane FROM judged j WHERE NOT j.goes
    ON CONFLICT (job_id) DO NOTHING)
  SELECT c.id, c.kind, c.lane, c.tier, c.attempt, c.owner_id FROM claimed c;
END $$;

-- Takes as many of the owners' jobs out of the waiting as there is room for now: whoever calls it rings for them.
CREATE FUNCTION next_turns(owner_ids uuid[], standard_cap integer, most integer) RETURNS TABLE (id uuid, lane job_lane, tier smallint)
LANGUAGE sql VOLATILE AS $$
  WITH room AS MATERIALIZED (
    SELECT o.id AS owner_id, CASE WHEN coalesce(o.max_running, standard_cap) > 0 THEN least(most, coalesce(o.max_running, standard_cap) - (
      SELECT count(*) FROM autodb.turns t JOIN autodb.queue q ON q.id = t.job_id AND q.state = 'running' AND q.attempt = t.attempt
      WHERE t.owner_id = o.id AND t.attempt IS NOT NULL)) ELSE most END AS places
    FROM autodb.owners o WHERE o.id = ANY (owner_ids)),
  called AS MATERIALIZED (
    SELECT w.job_id FROM room r CROSS JOIN LATERAL (
      SELECT t.job_id FROM autodb.turns t JOIN autodb.queue q ON q.id = t.job_id AND q.state = 'queued' AND NOT q.cancel_requested
        AND NOT ARRAY[q.kind, q.lane::text] && ARRAY(SELECT p.name FROM autodb.pauses p WHERE p.resumed_at IS NULL)
      WHERE t.owner_id = r.owner_id AND t.attempt IS NULL ORDER BY t.lane, t.job_id LIMIT greatest(r.places, 0)
      FOR UPDATE OF t SKIP LOCKED) w),
  gone AS (DELETE FROM autodb.turns t USING called c WHERE t.job_id = c.job_id AND t.attempt IS NULL RETURNING t.job_id)
  UPDATE autodb.queue q SET dispatched_at = now() FROM gone g WHERE q.id = g.job_id AND q.state = 'queued' RETURNING q.id, q.lane, q.tier
$$;

-- Jobs of owners with a cap that might run, each owner's in their order: for workers without a bell, which claim them by claim_capped.
CREATE FUNCTION find_capped(standard_cap integer, most integer) RETURNS uuid[]
LANGUAGE sql STABLE AS $$
  SELECT ARRAY(SELECT n.id FROM autodb.owners o CROSS JOIN LATERAL (
    SELECT q.id, row_number() OVER (ORDER BY q.lane, q.tier, q.run_at, q.id) AS place FROM autodb.queue q
    WHERE q.owner_id = o.id AND q.state = 'queued' AND q.run_at <= now() AND NOT q.cancel_requested
      AND NOT ARRAY[q.kind, q.lane::text] && ARRAY(SELECT p.name FROM autodb.pauses p WHERE p.resumed_at IS NULL)
    ORDER BY q.lane, q.tier, q.run_at, q.id
    LIMIT CASE WHEN coalesce(o.max_running, standard_cap) > 0 THEN least(most, greatest(0, coalesce(o.max_running, standard_cap) - (
      SELECT count(*) FROM autodb.turns t JOIN autodb.queue q ON q.id = t.job_id AND q.state = 'running' AND q.attempt = t.attempt
      WHERE t.owner_id = o.id AND t.attempt IS NOT NULL))) ELSE most END) n
  WHERE o.max_running > 0 OR standard_cap > 0 ORDER BY n.place, n.id LIMIT most)
$$;

-- Drops the oldest day of a parent that ended more than `keep_days` ago and holds no live job; its name, or NULL. Dropping needs the parent's
-- lock, and whoever waits for that stops everybody behind him: so it is not waited for longer than `patience`.
CREATE FUNCTION drop_old_day(parent text, keep_days integer, patience interval) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
  child text;
  day timestamptz;
BEGIN
  PERFORM set_config('lock_timeout', (extract(epoch FROM patience) * 1000)::integer::text, true);
  FOR child IN SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
      WHERE i.inhparent = ('autodb.' || quote_ident(parent))::regclass AND c.relname ~ ('^' || parent || '_[0-9]{8}$') ORDER BY c.relname LOOP
    day := to_date(right(child, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC';
    EXIT WHEN day + interval '1 day' > now() - keep_days * interval '1 day';
    CONTINUE WHEN EXISTS (SELECT FROM autodb.queue q WHERE q.id >= autodb.uuid7_floor(day) AND q.id < autodb.uuid7_floor(day + interval '1 day'));
    EXECUTE format('LOCK TABLE ONLY autodb.%I, autodb.%I IN ACCESS EXCLUSIVE MODE', parent, child);
    -- A job may have been queued again until now.
    CONTINUE WHEN EXISTS (SELECT FROM autodb.queue q WHERE q.id >= autodb.uuid7_floor(day) AND q.id < autodb.uuid7_floor(day + interval '1 day'));
    EXECUTE format('DROP TABLE autodb.%I', child);
    RETURN child;
  END LOOP;
  RETURN NULL;
EXCEPTION WHEN lock_not_available THEN
  RETURN 'busy';
END $$;
