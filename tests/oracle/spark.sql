-- The five history tables straight from the events, in Spark's own SQL, as an oracle for views/.
--
-- Needs a table or view events(timestamp BIGINT, user STRING, title STRING, server_name STRING, type STRING,
-- bytes_changed BIGINT, is_bot BOOLEAN, is_new_page BOOLEAN, language STRING, project STRING), and the first and the
-- last second of the window among the session's settings: oracle.window_first and oracle.window_last.
-- Makes the temporary views oracle_<table>. Needs the session's time zone UTC, and ANSI mode, in which sums that are
-- too large are errors. Spark compares text by its UTF-8 bytes, and takes nulls first where keys ascend.

CREATE OR REPLACE TEMPORARY VIEW oracle_events AS
SELECT *, timestamp_seconds(timestamp - pmod(timestamp, 3600)) AS hour
FROM events
WHERE timestamp BETWEEN ${oracle.window_first} AND ${oracle.window_last};

CREATE OR REPLACE TEMPORARY VIEW oracle_historical_hourly_patterns AS
SELECT hour AS hour_bucket,
       count(*) AS total_events,
       sum(bytes_changed) AS total_bytes,
       avg(bytes_changed) AS avg_bytes,
       count_if(is_bot) AS bot_events,
       count_if(NOT is_bot) AS human_events
FROM oracle_events
GROUP BY hour;

CREATE OR REPLACE TEMPORARY VIEW oracle_historical_hourly_trends AS
WITH hours AS (
    SELECT hour,
           count(*) AS total_events,
           sum(bytes_changed) AS total_bytes,
           count_if(is_bot) AS bot_count,
           count_if(NOT is_bot) AS human_count,
           count(DISTINCT user) AS unique_users
    FROM oracle_events
    GROUP BY hour
)
SELECT hour AS hour_bucket,
       total_events,
       total_bytes,
       bot_count,
       human_count,
       unique_users,
       avg(total_events) OVER day AS events_24h_avg,
       avg(total_bytes) OVER day AS bytes_24h_avg
FROM hours
WINDOW day AS (ORDER BY hour RANGE BETWEEN INTERVAL 23 HOURS PRECEDING AND CURRENT ROW);

CREATE OR REPLACE TEMPORARY VIEW oracle_historical_top_contributors AS
SELECT user,
       is_bot,
       count(*) AS edit_count,
       sum(bytes_changed) AS total_bytes,
       count_if(is_new_page) AS pages_created
FROM oracle_events
GROUP BY user, is_bot
ORDER BY edit_count DESC, user, is_bot
LIMIT 100;

CREATE OR REPLACE TEMPORARY VIEW oracle_historical_language_distribution AS
SELECT language,
       project,
       count(*) AS edit_count,
       sum(bytes_changed) AS total_bytes,
       count_if(is_bot) AS bot_edits,
       count_if(is_new_page) AS new_pages
FROM oracle_events
GROUP BY language, project;

CREATE OR REPLACE TEMPORARY VIEW oracle_historical_server_rankings AS
WITH servers AS (
    SELECT server_name,
           language,
           project,
           count(*) AS edit_count,
           sum(bytes_changed) AS total_bytes,
           count(DISTINCT user) AS unique_users
    FROM oracle_events
    GROUP BY server_name, language, project
), ranked AS (
    SELECT *,
           CAST(row_number() OVER (ORDER BY edit_count DESC, server_name, language, project) AS BIGINT) AS rank,
           percent_rank() OVER (ORDER BY edit_count DESC) AS percentile
    FROM servers
)
SELECT *
FROM ranked
WHERE rank <= 50;
