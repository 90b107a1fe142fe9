-- The record and the queue, apart.
--
-- A job's row in `jobs` is written once, when it is accepted. What changes while it lives stands in `queue`, one narrow row that is made with
-- it and goes with its end, in the statement that publishes the result. So a claim, a heartbeat or a progress report rewrites a hundred bytes
-- in place (HOT: no index names what they change) instead of a row with its payload and each of its indexes; and no query about live work
-- ever meets the millions that ended.
--
-- A job is live when it is in `queue` and ended when it is in `results`; exactly one of the two, at any moment (job_states shows it).

CREATE TABLE queue (
  id uuid PRIMARY KEY,                  -- jobs.id
  owner_id uuid NOT NULL,
  kind text NOT NULL,
  lane job_lane NOT NULL,
  tier smallint NOT NULL DEFAULT 0,     -- of the lane's streams: how much of the lane its owner had asked for just before (job.h)
  state job_state NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running')),
  attempt integer NOT NULL DEFAULT 0,   -- the fence: raised by every claim, never lowered
  failures integer NOT NULL DEFAULT 0,  -- the retry budget
  crashes integer NOT NULL DEFAULT 0,   -- attempts that ended with the slot or its worker dying
  max_attempts integer NOT NULL,
  cancel_requested boolean NOT NULL DEFAULT false,
  run_at timestamptz NOT NULL DEFAULT now(),
  created_at timestamptz NOT NULL DEFAULT now(),
  dispatched_at timestamptz,            -- last XADD by a sweeper; the first one is at created_at
  started_at timestamptz,
  lease_owner text,                     -- worker that runs it; NULL unless running
  lease_until timestamptz,              -- compared with this server's clock only
  callback_url text,
  progress json
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0,
        autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000);
-- For workers that poll because Redis is away, and for sweeps. No column that changes while a job runs is in it.
CREATE INDEX queue_turn ON queue (lane, tier, run_at, id);

INSERT INTO queue (id, owner_id, kind, lane, state, attempt, failures, crashes, max_attempts, cancel_requested, run_at, created_at,
                   dispatched_at, started_at, lease_owner, lease_until, callback_url, progress)
SELECT id, owner_id, kind, lane, state, attempt, failures, crashes, max_attempts, cancel_requested, run_at, created_at,
       dispatched_at, started_at, lease_owner, lease_until, callback_url, progress
FROM jobs WHERE state IN ('queued', 'running');

ALTER TABLE results -- created_at is when the job ended
  ADD COLUMN started_at timestamptz, ADD COLUMN progress json, ADD COLUMN failures integer NOT NULL DEFAULT 0,
  ADD COLUMN crashes integer NOT NULL DEFAULT 0;
UPDATE results r SET started_at = j.started_at, progress = j.progress, failures = j.failures, crashes = j.crashes
FROM jobs j WHERE j.id = r.job_id AND j.started_at IS NOT NULL;

ALTER TABLE jobs
  DROP COLUMN state, DROP COLUMN attempt, DROP COLUMN failures, DROP COLUMN crashes, DROP COLUMN cancel_requested, DROP COLUMN run_at,
  DROP COLUMN dispatched_at, DROP COLUMN started_at, DROP COLUMN finished_at, DROP COLUMN lease_owner, DROP COLUMN lease_until,
  DROP COLUMN progress;

-- Every job with where it stands: for people, lists and counts. Point lookups name the partitions' bounds themselves.
CREATE VIEW job_states AS
SELECT j.*, coalesce(q.state, r.state) AS state, coalesce(q.attempt, r.attempt) AS attempt, coalesce(q.failures, r.failures) AS failures,
       coalesce(q.crashes, r.crashes) AS crashes, coalesce(q.cancel_requested, false) AS cancel_requested, q.run_at, q.dispatched_at, q.lease_owner,
       q.lease_until, coalesce(q.started_at, r.started_at) AS started_at, r.created_at AS finished_at,
       CASE WHEN r.job_id IS NULL THEN q.progress ELSE r.progress END AS progress, r.body, r.error
FROM jobs j LEFT JOIN queue q ON q.id = j.id LEFT JOIN results r ON r.job_id = j.id;
