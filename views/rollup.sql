-- The rollup: everything that the five history tables need, as counts and sums. What is kept of it are the coarser grains
-- of the other rollup_*.sql.
--
-- Grain:   one row per hour (UTC), user, is_bot, server_name, language and project; a null key is a key of its own.
-- Reads:   events, the archived events; only those from $first to $last, both included, epoch seconds.
-- Adds up: the rollups of any split of the events, taken together, give the same tables as the rollup of all of them,
--          distinct users included, because the user is part of the key.
SELECT
    -- The hour's first instant. date_bin on UTC costs a fraction of what date_trunc does.
    arrow_cast(
        date_bin(INTERVAL '1 hour', arrow_cast("timestamp", 'Timestamp(Second, Some("UTC"))')),
        'Timestamp(Microsecond, Some("UTC"))'
    ) AS hour_bucket,
    "user",
    is_bot,
    server_name,
    language,
    project,
    -- Rows.
    count(*) AS events,
    -- The sum of bytes_changed, null where there is nothing to sum; DECIMAL, since a sum of bigints can outgrow bigint.
    sum(CAST(bytes_changed AS DECIMAL(38, 0))) AS bytes_sum,
    -- How many bytes_changed the sum is made of: the divisor of averages.
    count(bytes_changed) AS bytes_known,
    -- Rows whose is_new_page is true; null is not true.
    count(*) FILTER (WHERE is_new_page) AS new_pages
FROM events
WHERE "timestamp" BETWEEN $first AND $last
GROUP BY 1, 2, 3, 4, 5, 6
