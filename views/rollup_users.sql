-- users: who did how much on each day.
--
-- Grain:   one row per day (UTC), user and is_bot; a null key is a key of its own.
-- Reads:   rollup.
-- Adds up: over any parts of the rollup.
SELECT
    date_bin(INTERVAL '1 day', hour_bucket) AS day_bucket,
    "user",
    is_bot,
    sum(events) AS events,
    sum(bytes_sum) AS bytes_sum,
    sum(new_pages) AS new_pages
FROM rollup
GROUP BY 1, 2, 3
