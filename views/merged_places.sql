-- The rows of several partials as one: those of places (rollup_places.sql), each key once.
--
-- Reads: places, the rows of all of them.
SELECT
    hour_bucket,
    server_name,
    language,
    project,
    sum(events) AS events,
    sum(bytes_sum) AS bytes_sum,
    sum(bot_events) AS bot_events,
    sum(new_pages) AS new_pages
FROM places
GROUP BY hour_bucket, server_name, language, project
