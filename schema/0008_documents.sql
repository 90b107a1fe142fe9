-- Documents as clients list them, and what tells that an original is not needed any more.
CREATE INDEX documents_listed ON documents (connection_id, id);
CREATE INDEX documents_original ON documents (sha256);
