-- The five history tables straight from the events, in DuckDB's own SQL, as an oracle for views/.
--
-- Needs a table or view events("timestamp" BIGINT, "user" VARCHAR, title VARCHAR, server_name VARCHAR, type VARCHAR,
-- bytes_changed BIGINT, is_bot BOOLEAN, is_new_page BOOLEAN, language VARCHAR, project VARCHAR) and two variables, the
-- first and the last second of the window:
--     SET VARIABLE window_first = 1441929600; SET VARIABLE window_last = 1442102400;
-- Makes the temporary views oracle_<table>. hour_bucket is a TIMESTAMP in UTC. DuckDB compares text by its UTF-8 bytes.

CREATE OR REPLACE TEMPORARY VIEW oracle_events AS
SELECT *, make_timestamp(("timestamp"::BIGINT // 3600) * 3600 * 1000000) AS hour
FROM events
WHERE "timestamp" BETWEEN getvariable('window_first') AND getvariable('window_last');

CREATE OR REPLACE TEMPORARY VIEW oracle_historical_hourly_patterns AS
SELECT hour AS hour_bucket,
       count(*) AS total_events,
       sum(bytes_changed)::BIGINT AS total_bytes,
       sum(bytes_changed)::DOUBLE / count(bytes_changed) AS avg_bytes,
       count(*) FILTER (WHERE is_bot) AS bot_events,
       count(*) FILTER (WHERE NOT is_bot) AS human_events
FROM oracle_events
GROUP BY hour
ORDER BY hour_bucket;

CREATE OR REPLACE TEMPORARY VIEW oracle_historical_hourly_trends AS
WITH hours AS (
    SELECT hour,
           count(*) AS total_events,
           sum(bytes_changed) AS total_bytes,
           count(*) FILTER (WHERE is_bot) AS bot_count,
           count(*) FILTER (WHERE NOT is_bot) AS human_count,
           len(list_distinct(list("user"))) AS unique_users
    FROM oracle_events
    GROUP BY hour
)
SELECT hour AS hour_bucket,
       total_events,
       total_bytes::BIGINT AS total_bytes,
       bot_count,
       human_count,
       coalesce(unique_users, 0)::BIGINT AS unique_users,
       avg(total_events) OVER day AS events_24h_avg,
       sum(total_bytes) OVER day / count(total_bytes) OVER day AS bytes_24h_avg
FROM hours
WINDOW day AS (ORDER BY hour RANGE BETWEEN INTERVAL 23 HOURS PRECEDING AND CURRENT ROW)
ORDER BY hour_bucket;

CREATE OR REPLACE TEMPORARY VIEW oracle_historical_top_contributors AS
SELECT "user",
       is_bot,
       count(*) AS edit_count,
       sum(bytes_changed)::BIGINT AS total_bytes,
       count(*) FILTER (WHERE is_new_page) AS pages_created
FROM oracle_events
GROUP BY "user", is_bot
ORDER BY edit_count DESC, "user" NULLS FIRST, is_bot NULLS FIRST
LIMIT 100;

CREATE OR REPLACE TEMPORARY VIEW oracle_historical_language_distribution AS
SELECT language,
       project,
       count(*) AS edit_count,
       sum(bytes_changed)::BIGINT AS total_bytes,
       count(*) FILTER (WHERE is_bot) AS bot_edits,
       count(*) FILTER (WHERE is_new_page) AS new_pages
FROM oracle_events
GROUP BY language, project
ORDER BY edit_count DESC, language NULLS FIRST, project NULLS FIRST;

CREATE OR REPLACE TEMPORARY VIEW oracle_historical_server_rankings AS
SELECT server_name,
       language,
       project,
       count(*) AS edit_count,
       sum(bytes_changed)::BIGINT AS total_bytes,
       count(DISTINCT "user") AS unique_users,
       row_number() OVER (
           ORDER BY count(*) DESC, server_name NULLS FIRST, language NULLS FIRST, project NULLS FIRST
       ) AS rank,
       percent_rank() OVER (ORDER BY count(*) DESC) AS percentile
FROM oracle_events
GROUP BY server_name, language, project
QUALIFY rank <= 50
ORDER BY rank;
