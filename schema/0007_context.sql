-- The context engine: documents as chunks that are found by meaning and by word.
--
-- Of the schema nothing is stored here: what is said of a table is made from the snapshot when it is asked for, and its vectors come from
-- embedding_cache, so only text that changed is ever embedded again.

-- One row per model that ever made a vector here: searches name one, so vectors of two never meet.
CREATE TABLE embedding_models (
  id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  provider text NOT NULL,
  model text NOT NULL,
  dims integer NOT NULL CHECK (dims BETWEEN 1 AND 4000), -- halfvec's own bound, and a row's: vectors are never moved out of line
  UNIQUE (provider, model, dims)
);

-- What a provider was paid for once. Text is known by its hash alone; used_on is written at most once a day.
CREATE TABLE embedding_cache (
  model smallint NOT NULL REFERENCES embedding_models,
  sha256 bytea NOT NULL,                -- of the text as it was embedded, its headings included
  embedding halfvec NOT NULL,
  used_on date NOT NULL DEFAULT current_date,
  PRIMARY KEY (model, sha256)
);
CREATE INDEX ON embedding_cache (used_on);

CREATE TABLE embedding_usage (
  owner_id uuid NOT NULL,
  day date NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')::date,
  model smallint NOT NULL REFERENCES embedding_models,
  texts bigint NOT NULL DEFAULT 0,      -- sent to the provider
  cached bigint NOT NULL DEFAULT 0,     -- found in embedding_cache instead
  tokens bigint NOT NULL DEFAULT 0,     -- as the provider counts them
  PRIMARY KEY (owner_id, day, model)
);

-- (connection, source, name) is a document for as long as it exists; its content may be replaced. What is searched is what was ingested last,
-- until the transaction that replaces it; sha256 and bytes are of the content that was given last.
ALTER TABLE documents
  ALTER COLUMN error TYPE jsonb USING NULL, -- {"code", "message"}; NULL unless failed
  ADD COLUMN chunks integer NOT NULL DEFAULT 0,
  ADD COLUMN ingested_sha256 text,      -- of the content the chunks were made of; NULL: there are none
  ADD COLUMN ingested_as text,          -- how they were made (extractor and chunker): others are made anew
  ADD COLUMN ingested_at timestamptz,
  ADD COLUMN etag text,                 -- of the object it came from
  ADD COLUMN job_id uuid,               -- the fence: which attempt of which job took it up last
  ADD COLUMN attempt integer;

DROP TABLE chunks;
CREATE TABLE chunks (
  connection_id uuid NOT NULL,
  id uuid NOT NULL,                     -- from a hash of source, name, headings and text: the same content has the same id
  document_id uuid NOT NULL REFERENCES documents ON DELETE CASCADE,
  ordinal integer NOT NULL,             -- place in the document, from 0
  page integer,                         -- from 1, where the document has pages
  first_byte bigint NOT NULL,           -- of the extracted text
  last_byte bigint NOT NULL,            -- the one after
  heading text,                         -- "Orders > Refunds": the headings it stands under
  body text NOT NULL,                   -- as shown; what is embedded has title and headings in front
  tables text[],                        -- that its SQL names
  terms integer[] NOT NULL,             -- hashes of its words' stems, salted with the connection, as often as they occur: BM25 reads them
  PRIMARY KEY (connection_id, id)
);
-- The salt makes the index one per connection: a word that a large tenant uses everywhere costs a small one nothing.
CREATE INDEX chunks_terms ON chunks USING gin (terms) WITH (fastupdate = on, gin_pending_list_limit = 1024);
CREATE INDEX chunks_document ON chunks (document_id, ordinal);
ALTER TABLE chunks ALTER COLUMN terms SET STORAGE MAIN;

-- A chunk has one vector per model: while models are changed it has two. Apart from the text, in line and of half precision: three to a page,
-- so that a scan of one connection is a scan of little.
CREATE TABLE chunk_vectors (
  connection_id uuid NOT NULL,
  model smallint NOT NULL REFERENCES embedding_models,
  chunk_id uuid NOT NULL,
  document_id uuid NOT NULL REFERENCES documents ON DELETE CASCADE,
  embedding halfvec NOT NULL,           -- of length 1
  PRIMARY KEY (connection_id, model, chunk_id)
);
ALTER TABLE chunk_vectors ALTER COLUMN embedding SET STORAGE PLAIN;
CREATE INDEX chunk_vectors_document ON chunk_vectors (document_id);

-- Terms that documents define: "GMV = sum(orders.total)", definition lists, "Churn: customers who …".
CREATE TABLE glossary (
  connection_id uuid NOT NULL,
  document_id uuid NOT NULL REFERENCES documents ON DELETE CASCADE,
  term text NOT NULL,
  meaning text NOT NULL,
  is_expression boolean NOT NULL,       -- the meaning reads as SQL
  heading text,
  ordinal integer NOT NULL,
  PRIMARY KEY (document_id, ordinal)
);
CREATE INDEX ON glossary (connection_id);
