-- The context engine at size: documents know their title and model, those under way are found, and rows go without asking row by row.

ALTER TABLE documents
  ADD COLUMN title text,                -- in front of what is embedded; NULL: not known, of documents ingested before it was kept
  ADD COLUMN model smallint REFERENCES embedding_models, -- whose vectors all of its chunks have; NULL: it has none
  ADD COLUMN changed xid8 NOT NULL DEFAULT pg_current_xact_id(); -- the transaction that wrote its chunks: who has seen those before it knows them
UPDATE documents d SET model = (SELECT v.model FROM chunk_vectors v WHERE v.document_id = d.id LIMIT 1) WHERE d.chunks > 0;
CREATE INDEX documents_model ON documents (connection_id, model) WHERE model IS NOT NULL;
CREATE INDEX documents_changed ON documents (connection_id, changed) WHERE model IS NOT NULL;
-- What some job is about to do, or was when it ended.
CREATE INDEX documents_open ON documents (updated_at) WHERE status IN ('pending', 'processing');

-- Rows of a document are only written by who holds its row, so keys to it would look up, for each passage, what is known already. What is
-- deleted with it goes in one statement a table.
ALTER TABLE chunks DROP CONSTRAINT chunks_document_id_fkey;
ALTER TABLE chunk_vectors DROP CONSTRAINT chunk_vectors_document_id_fkey, DROP CONSTRAINT chunk_vectors_model_fkey;
ALTER TABLE glossary DROP CONSTRAINT glossary_document_id_fkey;
CREATE FUNCTION forget_documents() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM autodb.chunk_vectors WHERE document_id IN (SELECT id FROM gone);
  DELETE FROM autodb.chunks WHERE document_id IN (SELECT id FROM gone);
  DELETE FROM autodb.glossary WHERE document_id IN (SELECT id FROM gone);
  RETURN NULL;
END $$;
CREATE TRIGGER forget AFTER DELETE ON documents REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION forget_documents();
