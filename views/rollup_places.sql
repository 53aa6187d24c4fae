-- places: what happened where in each hour.
--
-- Grain:   one row per hour (UTC), server_name, language and project; a null key is a key of its own.
-- Reads:   rollup.
-- Adds up: over any parts of the rollup.
SELECT
    hour_bucket,
    server_name,
    language,
    project,
    sum(events) AS events,
    sum(bytes_sum) AS bytes_sum,
    -- Rows whose is_bot is true; null is not true.
    sum(CASE WHEN is_bot THEN events ELSE 0 END) AS bot_events,
    sum(new_pages) AS new_pages
FROM rollup
GROUP BY hour_bucket, server_name, language, project
