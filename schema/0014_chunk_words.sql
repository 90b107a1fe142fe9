-- A passage's words once each, with how often: what the index holds, in its order, and what a search scores by, as bytes that are sent as they
-- are. Counting in the array took most of a search.

ALTER TABLE chunks ADD COLUMN words bytea;  -- of each term, ascending: int4 (big-endian), and a byte: times, at most 255
UPDATE chunks c SET (terms, words) = (
  SELECT coalesce(array_agg(w.term ORDER BY w.term), '{}'), coalesce(string_agg(int4send(w.term) || substr(int4send(least(w.times, 255)::integer), 4), '' ORDER BY w.term), '')
  FROM (SELECT t.term, count(*) AS times FROM unnest(c.terms) AS t (term) GROUP BY t.term) w);
ALTER TABLE chunks ALTER COLUMN words SET NOT NULL, ALTER COLUMN words SET STORAGE MAIN;
COMMENT ON COLUMN chunks.terms IS 'hashes of its words'' stems, salted with the connection, once each and ascending';
-- The list of what is not in the index yet is looked through by every search, and merged the better the longer it is.
ALTER INDEX chunks_terms SET (gin_pending_list_limit = 4096);
