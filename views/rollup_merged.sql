-- Several rollups as one: the same grain as rollup.sql, each key once.
--
-- Reads: rollup, the rows of all of them.
SELECT
    hour_bucket,
    "user",
    is_bot,
    server_name,
    language,
    project,
    sum(events) AS events,
    sum(bytes_sum) AS bytes_sum,
    sum(bytes_known) AS bytes_known,
    sum(new_pages) AS new_pages
FROM rollup
GROUP BY hour_bucket, "user", is_bot, server_name, language, project
