-- The five history tables straight from the events, in PostgreSQL's own SQL, as an oracle for views/.
--
-- Needs a table events("timestamp" bigint, "user" text, title text, server_name text, type text, bytes_changed bigint,
-- is_bot boolean, is_new_page boolean, language text, project text), first on the search_path, and two settings, the
-- first and the last second of the window:
--     SELECT set_config('oracle.window_first', '1441929600', false), set_config('oracle.window_last', '1442102400', false);
-- Makes the temporary views oracle_<table>. Text is compared by its UTF-8 bytes (COLLATE "C" in a UTF8 database).

CREATE TEMPORARY VIEW oracle_events AS
SELECT *, to_timestamp("timestamp" - mod(mod("timestamp", 3600) + 3600, 3600)) AS hour
FROM events
WHERE "timestamp" >= current_setting('oracle.window_first')::bigint
  AND "timestamp" <= current_setting('oracle.window_last')::bigint;

CREATE TEMPORARY VIEW oracle_historical_hourly_patterns AS
SELECT hour AS hour_bucket,
       count(*) AS total_events,
       sum(bytes_changed)::bigint AS total_bytes,
       sum(bytes_changed)::double precision / count(bytes_changed) AS avg_bytes,
       count(*) FILTER (WHERE is_bot IS TRUE) AS bot_events,
       count(*) FILTER (WHERE is_bot IS FALSE) AS human_events
FROM oracle_events
GROUP BY hour
HAVING count(bytes_changed) > 0
UNION ALL
SELECT hour, count(*), NULL, NULL, count(*) FILTER (WHERE is_bot IS TRUE), count(*) FILTER (WHERE is_bot IS FALSE)
FROM oracle_events
GROUP BY hour
HAVING count(bytes_changed) = 0
ORDER BY hour_bucket;

CREATE TEMPORARY VIEW oracle_historical_hourly_trends AS
WITH hours AS (
    SELECT hour,
           count(*) AS total_events,
           sum(bytes_changed) AS total_bytes,
           count(*) FILTER (WHERE is_bot IS TRUE) AS bot_count,
           count(*) FILTER (WHERE is_bot IS FALSE) AS human_count,
           count(DISTINCT "user") AS unique_users
    FROM oracle_events
    GROUP BY hour
)
SELECT this.hour AS hour_bucket,
       this.total_events,
       this.total_bytes::bigint AS total_bytes,
       this.bot_count,
       this.human_count,
       this.unique_users,
       (SELECT sum(day.total_events)::double precision / count(*)
        FROM hours AS day
        WHERE day.hour BETWEEN this.hour - interval '23 hours' AND this.hour) AS events_24h_avg,
       (SELECT sum(day.total_bytes)::double precision / nullif(count(day.total_bytes), 0)
        FROM hours AS day
        WHERE day.hour BETWEEN this.hour - interval '23 hours' AND this.hour) AS bytes_24h_avg
FROM hours AS this
ORDER BY hour_bucket;

CREATE TEMPORARY VIEW oracle_historical_top_contributors AS
SELECT "user",
       is_bot,
       count(*) AS edit_count,
       sum(bytes_changed)::bigint AS total_bytes,
       count(*) FILTER (WHERE is_new_page IS TRUE) AS pages_created
FROM oracle_events
GROUP BY "user", is_bot
ORDER BY edit_count DESC, "user" COLLATE "C" NULLS FIRST, is_bot NULLS FIRST
FETCH FIRST 100 ROWS ONLY;

CREATE TEMPORARY VIEW oracle_historical_language_distribution AS
SELECT language,
       project,
       count(*) AS edit_count,
       sum(bytes_changed)::bigint AS total_bytes,
       count(*) FILTER (WHERE is_bot IS TRUE) AS bot_edits,
       count(*) FILTER (WHERE is_new_page IS TRUE) AS new_pages
FROM oracle_events
GROUP BY language, project
ORDER BY edit_count DESC, language COLLATE "C" NULLS FIRST, project COLLATE "C" NULLS FIRST;

CREATE TEMPORARY VIEW oracle_historical_server_rankings AS
SELECT server_name,
       language,
       project,
       edit_count,
       total_bytes,
       unique_users,
       rank,
       -- As the standard defines percent_rank: the servers with more edits, over all others.
       coalesce(busier::double precision / nullif(servers - 1, 0), 0) AS percentile
FROM (
    SELECT server_name,
           language,
           project,
           count(*) AS edit_count,
           sum(bytes_changed)::bigint AS total_bytes,
           count(DISTINCT "user") AS unique_users,
           row_number() OVER (
               ORDER BY count(*) DESC, server_name COLLATE "C" NULLS FIRST, language COLLATE "C" NULLS FIRST,
                        project COLLATE "C" NULLS FIRST
           ) AS rank,
           rank() OVER (ORDER BY count(*) DESC) - 1 AS busier,
           count(*) OVER () AS servers
    FROM oracle_events
    GROUP BY server_name, language, project
) AS ranked
WHERE rank <= 50
ORDER BY rank;
