-- What an execution of a migration was about to do and what became of it: the record that a later attempt, or a person, starts from when the
-- process that ran it is gone. Each row is committed before the step it announces and again after it; worker/execute/README.md tells how it is read.

CREATE TABLE executions (
  job_id uuid PRIMARY KEY,
  connection_id uuid NOT NULL REFERENCES connections,
  sql_sha256 text NOT NULL,
  transaction_mode text NOT NULL CHECK (transaction_mode IN ('single', 'per-statement')),
  attempt integer NOT NULL,             -- of the job: the fence. Rows below are written only by the attempt named here
  started_at timestamptz NOT NULL DEFAULT now(),
  completed_at timestamptz              -- every statement has been applied
);
CREATE INDEX ON executions (connection_id, job_id);

CREATE TABLE execution_statements (
  job_id uuid NOT NULL REFERENCES executions ON DELETE CASCADE,
  ordinal integer NOT NULL,             -- from 0, as in the report
  unit integer NOT NULL,                -- statements with the same one share a transaction
  status text NOT NULL DEFAULT 'pending'
    CHECK (status IN ('pending', 'running', 'committing', 'applied', 'rolled_back', 'skipped', 'failed', 'unknown')),
  attempt integer,                      -- that ran it last
  backend_pid integer,                  -- of the client's server: the session it ran in,
  backend_start text,                   -- together with its start, in that server's own words, so that a reused pid is no match
  xid text,                             -- pg_current_xact_id() of its transaction, known before COMMIT is sent
  before json,                          -- what a statement outside of a transaction found: indexes, a partition
  started_at timestamptz,
  finished_at timestamptz,
  duration_ms double precision,
  lock_wait_ms double precision,
  retries integer NOT NULL DEFAULT 0,
  error json,
  PRIMARY KEY (job_id, ordinal)
);
