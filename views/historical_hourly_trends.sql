-- historical_hourly_trends: each hour beside the day that ends with it.
--
-- Grain: one row per hour that has events. Key: hour_bucket. Order: hour_bucket.
WITH hours AS (
    SELECT
        hour_bucket,
        sum(events) AS total_events,
        sum(bytes_sum) AS total_bytes,
        sum(CASE WHEN is_bot THEN events ELSE 0 END) AS bot_count,
        sum(CASE WHEN NOT is_bot THEN events ELSE 0 END) AS human_count,
        -- Exact; events without a user count for nobody.
        count(DISTINCT "user") AS unique_users
    FROM rollup
    GROUP BY hour_bucket
)
SELECT
    hour_bucket,
    total_events,
    total_bytes,
    bot_count,
    human_count,
    unique_users,
    -- The averages are over the hours that are there among this hour and the 23 before it in time, which is not the
    -- last 24 rows: where hours are empty, 24 rows reach further back.
    CAST(sum(total_events) OVER last_24_hours AS DOUBLE) / count(*) OVER last_24_hours AS events_24h_avg,
    -- Hours without a known total_bytes are left out of sum and divisor alike.
    CAST(sum(total_bytes) OVER last_24_hours AS DOUBLE)
        / nullif(count(total_bytes) OVER last_24_hours, 0) AS bytes_24h_avg
FROM hours
WINDOW last_24_hours AS (ORDER BY hour_bucket RANGE BETWEEN INTERVAL '23 hours' PRECEDING AND CURRENT ROW)
ORDER BY hour_bucket
