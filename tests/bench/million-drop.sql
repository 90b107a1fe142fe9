-- Takes away what million.sql made: days older than anything this server has done. They are made anew by whoever needs them.
SELECT format('DROP TABLE IF EXISTS autodb.%I', parent || '_' || to_char((now() AT TIME ZONE 'UTC')::date - day, 'YYYYMMDD'))
FROM unnest(ARRAY['jobs', 'results']) parent, generate_series(12, 16) day \gexec
