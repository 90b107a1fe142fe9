-- A million finished jobs of ten owners, four in ten of them :owner's, in four days of their own that million-drop.sql takes away again.
-- One in five hundred failed.
SELECT autodb.ensure_partitions(16, 7);
CREATE TEMP TABLE made AS
SELECT (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(h, 1, 3) || 'a' || substr(h, 4, 15))::uuid AS id, at,
  CASE WHEN i % 10 < 4 THEN :'owner'::uuid ELSE md5('owner ' || i % 10)::uuid END AS owner_id, i % 500 = 3 AS failed
FROM (SELECT i, md5(i::text) AS h, date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - interval '16 days' + i * interval '0.3456 seconds' AS at
      FROM generate_series(0, 999999) i) s;
INSERT INTO autodb.jobs (id, owner_id, kind, lane, max_attempts, created_at, payload)
SELECT id, owner_id, 'system.echo', 'default', 5, at, '{"payload":{"hello":"world","n":1}}' FROM made;
INSERT INTO autodb.results (job_id, attempt, state, body, error, created_at, started_at)
SELECT id, 1, CASE WHEN failed THEN 'failed' ELSE 'succeeded' END::autodb.job_state, CASE WHEN NOT failed THEN '{"payload":{"hello":"world","n":1}}'::json END,
  CASE WHEN failed THEN '{"code":"ECHO_FAILED","message":"the echo was asked to fail","details":null}'::json END, at, at FROM made;
ANALYZE autodb.jobs;
ANALYZE autodb.results;
