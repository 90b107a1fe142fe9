-- AutoDB's own database, version 1. Applied by `autodb schema up`; never edited after it has been applied anywhere.
--
-- jobs, results and job_events are partitioned by day on the job's id: a UUIDv7 begins with its millisecond, so a range of ids is a range of time,
-- a lookup by id touches one partition, and old days go by DROP TABLE instead of by DELETE.

CREATE EXTENSION IF NOT EXISTS vector;

-- Smallest UUIDv7 of an instant: 48 bits of milliseconds, then zeros.
CREATE FUNCTION uuid7_floor(at timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
$$ SELECT rpad(lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0'), 32, '0')::uuid $$;

CREATE TABLE owners (
  id uuid PRIMARY KEY,
  name text NOT NULL UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_keys (
  id uuid PRIMARY KEY,
  owner_id uuid NOT NULL REFERENCES owners,
  name text NOT NULL,
  role text NOT NULL CHECK (role IN ('admin', 'user')),
  prefix text NOT NULL,                 -- the first characters, for people to tell keys apart
  key_hash bytea NOT NULL UNIQUE,       -- SHA-256 of the whole key; 256 random bits need no slow hash
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz,
  revoked_at timestamptz,
  last_used_at timestamptz
);
CREATE INDEX ON api_keys (owner_id);

CREATE TABLE connections (
  id uuid PRIMARY KEY,
  owner_id uuid NOT NULL REFERENCES owners,
  name text NOT NULL,
  db_type text NOT NULL,
  host text NOT NULL,
  port integer NOT NULL,
  database_name text NOT NULL,
  excluded_schemas text[] NOT NULL DEFAULT '{}',
  secret bytea,                         -- connection string, AES-256-GCM bound to id; NULL once deleted
  secret_key_id text,
  server_version text,
  capabilities jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  last_introspected_at timestamptz,
  deleted_at timestamptz
);
CREATE INDEX ON connections (owner_id, id) WHERE deleted_at IS NULL;

CREATE TABLE snapshots (
  id uuid PRIMARY KEY,
  connection_id uuid NOT NULL REFERENCES connections,
  fingerprint text NOT NULL,            -- SHA-256 of what makes the schema what it is: no sizes, statistics or times
  server_version text NOT NULL,
  server_version_num integer NOT NULL,
  table_count integer NOT NULL,
  body bytea NOT NULL,                  -- the snapshot as JSON (GET /connections/{id}/schema), zlib
  dump bytea,                           -- pg_dump --schema-only of the same exported snapshot, zlib
  dump_error text,                      -- why there is no dump
  created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE snapshots ALTER COLUMN body SET STORAGE EXTERNAL, ALTER COLUMN dump SET STORAGE EXTERNAL;
CREATE INDEX ON snapshots (connection_id, id DESC);

CREATE TYPE job_state AS ENUM ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'dead');
CREATE TYPE job_lane AS ENUM ('interactive', 'default', 'bulk');

CREATE TABLE jobs (
  id uuid NOT NULL PRIMARY KEY,
  owner_id uuid NOT NULL,
  connection_id uuid,
  kind text NOT NULL,
  lane job_lane NOT NULL,
  state job_state NOT NULL DEFAULT 'queued',
  attempt integer NOT NULL DEFAULT 0,   -- the fence: raised by every claim, never lowered
  failures integer NOT NULL DEFAULT 0,  -- the retry budget
  crashes integer NOT NULL DEFAULT 0,   -- attempts that ended with the slot or its worker dying
  max_attempts integer NOT NULL,
  cancel_requested boolean NOT NULL DEFAULT false,
  lease_owner text,                     -- worker that runs it; NULL unless running
  lease_until timestamptz,              -- compared with this server's clock only
  run_at timestamptz NOT NULL DEFAULT now(),
  dispatched_at timestamptz,            -- last XADD by a sweeper; the first one is at created_at
  created_at timestamptz NOT NULL DEFAULT now(),
  started_at timestamptz,
  finished_at timestamptz,
  trace text,                           -- W3C traceparent
  request_id text,
  callback_url text,
  payload json NOT NULL,                -- json, not jsonb: stored as sent, not taken apart
  metadata json,
  progress json
) PARTITION BY RANGE (id);
-- Heartbeats touch lease_until alone, which no index holds, so they stay heap-only (HOT); running rows are few and found by the second index.
CREATE INDEX jobs_queued ON jobs (lane, run_at, id) WHERE state = 'queued';
CREATE INDEX jobs_running ON jobs (id) WHERE state = 'running';
CREATE INDEX jobs_owner ON jobs (owner_id, id);

CREATE TABLE results (
  job_id uuid NOT NULL PRIMARY KEY,     -- one result per job, for ever
  attempt integer NOT NULL,             -- the attempt that published it
  state job_state NOT NULL,
  body json,
  error json,
  created_at timestamptz NOT NULL DEFAULT now()
) PARTITION BY RANGE (job_id);

CREATE TABLE job_events (
  job_id uuid NOT NULL,
  seq bigint NOT NULL,
  type text NOT NULL,
  body json NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (job_id, seq)
) PARTITION BY RANGE (job_id);

-- Makes the partitions from `days_back` before today to `days_ahead` after it. Idempotent; called by `schema up` and daily by the sweeper.
-- The default partition catches ids made by a clock far off.
CREATE FUNCTION ensure_partitions(days_back integer, days_ahead integer) RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
  parent text;
  day date;
  child text;
  made integer := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('autodb.ensure_partitions'));
  FOREACH parent IN ARRAY ARRAY['jobs', 'results', 'job_events'] LOOP
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
CREATE TABLE jobs_default PARTITION OF jobs DEFAULT;
CREATE TABLE results_default PARTITION OF results DEFAULT;
CREATE TABLE job_events_default PARTITION OF job_events DEFAULT;
SELECT ensure_partitions(1, 7);

-- Unique keys can't span partitions without holding the partition key, so idempotency has a table of its own. Kept 24 h.
CREATE TABLE idempotency_keys (
  owner_id uuid NOT NULL,
  key text NOT NULL,
  request_hash bytea NOT NULL,          -- SHA-256 of method, path, query and canonical body
  job_id uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (owner_id, key)
);
CREATE INDEX ON idempotency_keys (created_at);

CREATE TABLE webhooks (
  id uuid PRIMARY KEY,
  owner_id uuid NOT NULL REFERENCES owners,
  url text NOT NULL,
  events text[] NOT NULL,
  kinds text[] NOT NULL DEFAULT '{}',   -- empty = all
  description text,
  secret bytea NOT NULL,
  secret_key_id text NOT NULL,
  old_secret bytea,
  old_secret_until timestamptz,
  disabled_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz
);
CREATE INDEX ON webhooks (owner_id) WHERE deleted_at IS NULL;

CREATE TABLE deliveries (
  id text PRIMARY KEY,                  -- webhook-id: "<job id>.<event>.<webhook id, or callback>", the receiver's key against duplicates
  job_id uuid NOT NULL,
  webhook_id uuid,                      -- NULL: the job's own callback_url
  url text NOT NULL,
  event text NOT NULL,
  state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'running', 'delivered', 'failed')),
  tries integer NOT NULL DEFAULT 0,
  next_at timestamptz NOT NULL DEFAULT now(),
  lease_owner text,
  lease_until timestamptz,
  last_status integer,
  last_error text,
  created_at timestamptz NOT NULL DEFAULT now(),
  delivered_at timestamptz
);
CREATE INDEX deliveries_pending ON deliveries (next_at) WHERE state = 'pending';
CREATE INDEX ON deliveries (webhook_id, created_at);

CREATE TABLE approvals (
  nonce text PRIMARY KEY,               -- of the token; single use
  owner_id uuid NOT NULL,
  connection_id uuid NOT NULL REFERENCES connections,
  snapshot_id uuid NOT NULL REFERENCES snapshots,
  analyze_job_id uuid NOT NULL,
  sql_sha256 text NOT NULL,
  schema_fingerprint text NOT NULL,
  issued_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  used_by_job_id uuid,
  used_at timestamptz
);

CREATE TABLE documents (
  id uuid PRIMARY KEY,
  owner_id uuid NOT NULL REFERENCES owners,
  connection_id uuid NOT NULL REFERENCES connections,
  name text NOT NULL,
  source text NOT NULL,
  content_type text NOT NULL,
  bytes bigint NOT NULL,
  sha256 text NOT NULL,
  status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'processing', 'ready', 'failed')),
  error text,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (connection_id, source, name)
);

CREATE TABLE chunks (
  id text NOT NULL,                     -- by content hash
  connection_id uuid NOT NULL,
  document_id uuid REFERENCES documents ON DELETE CASCADE, -- NULL: a chunk of the schema
  snapshot_id uuid REFERENCES snapshots ON DELETE CASCADE,
  ordinal integer NOT NULL,
  heading text,
  page integer,
  body text NOT NULL,
  model text NOT NULL,                  -- provider, model and dimensions: searches never mix them
  embedding vector NOT NULL,
  PRIMARY KEY (connection_id, id, model),
  CHECK ((document_id IS NULL) <> (snapshot_id IS NULL))
);
