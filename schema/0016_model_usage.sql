-- What the language model cost each owner, and what it may.

ALTER TABLE owners ADD COLUMN model_tokens bigint CHECK (model_tokens >= 0); -- a day (UTC); NULL: AUTODB_OWNER_TOKENS, 0: no limit

-- Added to right after each answer, whatever became of it: a refused or unusable answer was paid for, too.
CREATE TABLE model_usage (
  owner_id uuid NOT NULL REFERENCES owners,
  day date NOT NULL,                    -- UTC
  purpose text NOT NULL,                -- kind of the job that asked
  model text NOT NULL,                  -- as the provider names it
  calls bigint NOT NULL,
  input_tokens bigint NOT NULL,
  output_tokens bigint NOT NULL,
  PRIMARY KEY (owner_id, day, purpose, model)
);
