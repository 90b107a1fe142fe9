-- Webhooks: what a courier needs to know to deliver one, what came of it, and how each endpoint is doing.
--
-- A delivery belongs to an endpoint: a webhook, or the place the callbacks of an owner's jobs go to (scheme, host and port). Limits, pauses and
-- the circuit breaker are the endpoint's, so that a dead one delays nobody else.

CREATE FUNCTION uuid7() RETURNS uuid
LANGUAGE sql VOLATILE AS
$$ SELECT (left(autodb.uuid7_floor(clock_timestamp())::text, 13) || '-7' || substr(gen_random_uuid()::text, 16))::uuid $$;

ALTER TABLE webhooks
  ADD COLUMN old_secret_key_id text,
  ADD COLUMN concurrency smallint NOT NULL DEFAULT 4, -- calls to it at once, over all couriers
  ADD COLUMN disabled_reason text;

-- Volatile, so that it counts what was committed while its caller waited for the owner's row.
CREATE FUNCTION webhook_count(owner uuid) RETURNS bigint
LANGUAGE plpgsql VOLATILE AS
$$ BEGIN RETURN (SELECT count(*) FROM autodb.webhooks w WHERE w.owner_id = owner AND w.deleted_at IS NULL); END $$;

-- Signs what goes to callback_url. An owner makes one when he wants to check them.
CREATE TABLE callback_secrets (
  owner_id uuid PRIMARY KEY,
  secret bytea NOT NULL,                -- sealed like a webhook's
  secret_key_id text NOT NULL,
  old_secret bytea,
  old_secret_key_id text,
  old_secret_until timestamptz,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- tries is the fence: raised by every claim, never lowered; forgiven are those the schedule doesn't count (before a redelivery, or cut off with
-- their courier). While a delivery is running, next_at is the end of its lease: what is due is what is due, whoever had it before.
ALTER TABLE deliveries
  ADD COLUMN ref uuid NOT NULL DEFAULT uuid7(), -- what the API calls it, and lists by
  ADD COLUMN owner_id uuid,
  ADD COLUMN endpoint uuid GENERATED ALWAYS AS
    (coalesce(webhook_id, md5(owner_id::text || ' ' || lower(substring(url FROM '^[^/?#]*//[^/?#]*')))::uuid)) STORED,
  ADD COLUMN forgiven integer NOT NULL DEFAULT 0,
  ADD COLUMN last_try_at timestamptz,
  ADD COLUMN last_duration_ms integer,
  ADD COLUMN last_request text,         -- excerpts, of the last try
  ADD COLUMN last_response text,
  ALTER COLUMN job_id DROP NOT NULL,    -- NULL: a test of the webhook
  DROP COLUMN lease_until;
UPDATE deliveries d SET owner_id = j.owner_id FROM jobs j WHERE j.id = d.job_id;
DELETE FROM deliveries WHERE owner_id IS NULL;
ALTER TABLE deliveries ALTER COLUMN owner_id SET NOT NULL, ALTER COLUMN endpoint SET NOT NULL;
DROP INDEX deliveries_pending, deliveries_webhook_id_created_at_idx;
CREATE INDEX deliveries_due ON deliveries (next_at) WHERE state IN ('pending', 'running');
CREATE INDEX deliveries_endpoint ON deliveries (endpoint, next_at) WHERE state IN ('pending', 'running');
CREATE INDEX deliveries_running ON deliveries (endpoint) WHERE state = 'running';
CREATE UNIQUE INDEX deliveries_ref ON deliveries (ref);
CREATE INDEX deliveries_webhook ON deliveries (webhook_id, ref);
CREATE INDEX deliveries_owner ON deliveries (owner_id, ref);

-- Endpoints that are not well. A success removes the row.
CREATE TABLE delivery_endpoints (
  endpoint uuid PRIMARY KEY,
  failures integer NOT NULL,            -- in a row; from 5 on the circuit is open until resume_at, and then one call at a time tries it
  failing_since timestamptz NOT NULL,
  resume_at timestamptz NOT NULL        -- nothing is sent to it before: the circuit is open, or it asked for a pause
);

-- Leases up to `room` due deliveries to a courier and returns all that sending them takes. One courier claims at a time, so that the limits of
-- an endpoint hold over all of them; it takes milliseconds. Owners take turns; endpoints with work are found by hopping over the index,
-- so a hundred thousand deliveries that wait for a dead one cost as much as one. `base` goes before result_url.
CREATE FUNCTION claim_deliveries(courier text, room integer, lease interval, per_owner integer, base text)
RETURNS TABLE (id text, tries integer, counted integer, event text, url text, trace text, stamp text, data json, why_not text,
               context text, secret bytea, secret_key_id text, old_secret bytea, old_secret_key_id text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  IF NOT EXISTS (SELECT FROM autodb.deliveries d WHERE d.state IN ('pending', 'running') AND d.next_at <= now()) THEN
    RETURN;
  END IF;
  PERFORM pg_advisory_xact_lock(hashtext('autodb'), hashtext('courier'));
  RETURN QUERY
  WITH RECURSIVE
  hop AS (
    (SELECT d.endpoint FROM autodb.deliveries d WHERE d.state IN ('pending', 'running') ORDER BY d.endpoint LIMIT 1)
    UNION ALL
    SELECT (SELECT d.endpoint FROM autodb.deliveries d WHERE d.state IN ('pending', 'running') AND d.endpoint > hop.endpoint
            ORDER BY d.endpoint LIMIT 1)
    FROM hop WHERE hop.endpoint IS NOT NULL),
  busy AS (SELECT d.endpoint, d.owner_id, count(*)::integer AS calls FROM autodb.deliveries d
           WHERE d.state = 'running' AND d.next_at > clock_timestamp() GROUP BY 1, 2),
  ready AS (
    SELECT hop.endpoint, CASE WHEN h.failures >= 5 THEN 1 ELSE coalesce(w.concurrency, 4) END - coalesce(b.calls, 0) AS free
    FROM hop LEFT JOIN autodb.webhooks w ON w.id = hop.endpoint LEFT JOIN autodb.delivery_endpoints h ON h.endpoint = hop.endpoint
    LEFT JOIN busy b ON b.endpoint = hop.endpoint
    WHERE hop.endpoint IS NOT NULL AND (h.resume_at IS NULL OR h.resume_at <= clock_timestamp())),
  due AS (
    SELECT d.id, d.next_at, row_number() OVER (PARTITION BY d.owner_id ORDER BY d.place, d.next_at) + coalesce(o.calls, 0) AS turn
    FROM ready CROSS JOIN LATERAL (
      SELECT e.id, e.owner_id, e.next_at, row_number() OVER (ORDER BY e.next_at) AS place FROM (
        SELECT * FROM autodb.deliveries f WHERE f.endpoint = ready.endpoint AND f.state IN ('pending', 'running')
        AND f.next_at <= clock_timestamp() ORDER BY f.next_at LIMIT greatest(ready.free, 0)) e) d
    LEFT JOIN (SELECT owner_id, sum(calls) AS calls FROM busy GROUP BY 1) o ON o.owner_id = d.owner_id),
  picked AS (SELECT due.id FROM due WHERE due.turn <= per_owner ORDER BY due.turn, due.next_at LIMIT room),
  claimed AS (
    UPDATE autodb.deliveries d SET state = 'running', tries = d.tries + 1, forgiven = d.forgiven + (d.state = 'running')::integer,
      lease_owner = courier, next_at = clock_timestamp() + lease
    FROM picked WHERE d.id = picked.id AND d.state IN ('pending', 'running') AND d.next_at <= clock_timestamp()
    RETURNING d.*)
  SELECT d.id, d.tries, d.tries - d.forgiven, d.event, d.url, j.trace,
    to_char(coalesce(r.created_at, d.created_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    CASE WHEN d.job_id IS NULL THEN json_build_object('webhook_id', d.webhook_id, 'message', 'This is a test of your webhook.')
    ELSE json_build_object('job_id', d.job_id, 'kind', j.kind, 'status', substr(d.event, 5), 'priority', j.lane, 'connection_id', j.connection_id,
      'attempt', r.attempt, 'max_attempts', j.max_attempts, 'progress', r.progress,
      'created_at', to_char(j.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
      'started_at', to_char(r.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
      'finished_at', to_char(r.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
      'result', CASE WHEN octet_length(r.body::text) <= 16384 THEN r.body END, 'error', r.error, 'metadata', j.metadata, 'run_at', NULL,
      'result_url', base || '/api/v1/jobs/' || d.job_id) END,
    CASE WHEN d.webhook_id IS NULL THEN NULL WHEN w.id IS NULL OR w.deleted_at IS NOT NULL THEN 'the webhook was deleted'
         WHEN w.disabled_at IS NOT NULL THEN 'the webhook is disabled' END,
    CASE WHEN d.webhook_id IS NULL THEN 'callback:' || d.owner_id ELSE d.webhook_id::text END,
    coalesce(w.secret, c.secret), coalesce(w.secret_key_id, c.secret_key_id),
    CASE WHEN coalesce(w.old_secret_until, c.old_secret_until) > now() THEN coalesce(w.old_secret, c.old_secret) END,
    coalesce(w.old_secret_key_id, c.old_secret_key_id)
  FROM claimed d LEFT JOIN autodb.webhooks w ON w.id = d.webhook_id
  LEFT JOIN autodb.callback_secrets c ON d.webhook_id IS NULL AND c.owner_id = d.owner_id
  LEFT JOIN autodb.jobs j ON j.id = d.job_id
  LEFT JOIN autodb.results r ON r.job_id = d.job_id AND r.state::text = substr(d.event, 5);
END $$;
