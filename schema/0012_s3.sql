-- Bulk ingestion from S3: what was listed, in batches that are jobs of their own, and what became of each object.
--
-- All of it belongs to one s3.ingest job and goes some time after it; what stays is in documents. A batch is worked on by the job it names,
-- and by no other; an object is settled once.

ALTER TABLE connections
  ADD COLUMN aws_secret bytea,          -- keys, role and external id for AWS as JSON, AES-256-GCM bound to "aws:" and id; NULL once deleted
  ADD COLUMN aws_secret_key_id text;

CREATE TABLE s3_ingests (
  job_id uuid PRIMARY KEY,
  started_at timestamptz NOT NULL DEFAULT now(),
  region text,                          -- where the bucket turned out to be
  last_key text,                        -- the listing goes on after it
  listed_all boolean NOT NULL DEFAULT false,
  listed bigint NOT NULL DEFAULT 0,     -- objects that were to be ingested, whatever became of them
  unchanged bigint NOT NULL DEFAULT 0   -- of them, those that were as they had been ingested
);

CREATE TABLE s3_batches (
  ingest_id uuid NOT NULL REFERENCES s3_ingests ON DELETE CASCADE,
  batch bigint NOT NULL,                -- the number of its first object
  job_id uuid NOT NULL,
  objects integer NOT NULL,
  done integer NOT NULL DEFAULT 0,
  done_before integer NOT NULL DEFAULT 0, -- when the job was made: one that ends and has changed nothing stalled
  stalls integer NOT NULL DEFAULT 0,
  PRIMARY KEY (ingest_id, batch)
) WITH (fillfactor = 50);

CREATE TABLE s3_objects (
  ingest_id uuid NOT NULL REFERENCES s3_ingests ON DELETE CASCADE,
  batch bigint NOT NULL,                -- 0: of none, settled when it was listed
  n bigint NOT NULL,                    -- its place in the listing, from 1
  key text NOT NULL,
  etag text NOT NULL,
  bytes bigint NOT NULL,
  state text NOT NULL CHECK (state IN ('waiting', 'ingested', 'unchanged', 'failed')),
  tries smallint NOT NULL DEFAULT 0,    -- begun and not settled: by a store that didn't answer, or a process that died
  chunks integer NOT NULL DEFAULT 0,
  error jsonb,                          -- {"code", "message"} when failed
  PRIMARY KEY (ingest_id, batch, n)
) WITH (fillfactor = 80);
CREATE INDEX s3_objects_failed ON s3_objects (ingest_id, n) WHERE state = 'failed';
