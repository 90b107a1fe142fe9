-- Schemas that are read again by themselves, and what changed told to webhooks.

ALTER TABLE connections
  ADD COLUMN introspect_every integer NOT NULL DEFAULT 0 CHECK (introspect_every = 0 OR introspect_every >= 60), -- seconds; 0: never
  ADD COLUMN next_introspect_at timestamptz; -- NULL: never
CREATE INDEX connections_due ON connections (next_introspect_at) WHERE next_introspect_at IS NOT NULL AND deleted_at IS NULL;

-- When a connection that is read every so often is read next: a tenth more or less, so that what was registered together spreads out.
CREATE FUNCTION next_introspection(every integer) RETURNS timestamptz
LANGUAGE sql VOLATILE AS
$$ SELECT CASE WHEN every > 0 THEN now() + every * (0.9 + 0.2 * random()) * interval '1 second' END $$;

ALTER TABLE deliveries ADD COLUMN data json; -- what is sent, of events that are not the end of a job; NULL: the job
