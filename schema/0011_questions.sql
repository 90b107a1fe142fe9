-- Questions in words: those whose SQL is confirmed, and what people said of answers.

CREATE TABLE verified_queries (
  id uuid PRIMARY KEY,
  owner_id uuid NOT NULL REFERENCES owners,
  connection_id uuid NOT NULL REFERENCES connections,
  question text NOT NULL,               -- may hold {slots}
  sql text NOT NULL,
  description text,
  status text NOT NULL DEFAULT 'verified' CHECK (status IN ('verified', 'candidate')), -- a candidate is used once somebody confirms it
  source_job_id uuid,                   -- whose answer it was
  uses bigint NOT NULL DEFAULT 0,
  last_used_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
-- One answer to one question: by its hash, since a question may be longer than an index entry.
CREATE UNIQUE INDEX verified_queries_question ON verified_queries (connection_id, md5(lower(question)));
CREATE INDEX verified_queries_owner ON verified_queries (owner_id, id);

CREATE TABLE query_feedback (
  job_id uuid PRIMARY KEY,
  owner_id uuid NOT NULL REFERENCES owners,
  connection_id uuid,
  rating text NOT NULL CHECK (rating IN ('up', 'down')),
  corrected_sql text,
  comment text,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON query_feedback (owner_id);
