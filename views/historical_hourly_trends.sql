-- historical_hourly_trends: each hour beside the day that ends with it.
--
-- Grain: one row per hour that has events. Key: hour_bucket. Order: hour_bucket. Reads: hours (rollup_hours.sql).
SELECT
    hour_bucket,
    events AS total_events,
    bytes_sum AS total_bytes,
    bot_events AS bot_count,
    human_events AS human_count,
    unique_users,
    -- The averages are over the hours that are there among this hour and the 23 before it in time, which is not the
    -- last 24 rows: where hours are empty, 24 rows reach further back.
    CAST(sum(events) OVER last_24_hours AS DOUBLE) / count(*) OVER last_24_hours AS events_24h_avg,
    -- Hours without a known sum of bytes are left out of sum and divisor alike.
    CAST(sum(bytes_sum) OVER last_24_hours AS DOUBLE)
        / nullif(count(bytes_sum) OVER last_24_hours, 0) AS bytes_24h_avg
FROM hours
WINDOW last_24_hours AS (ORDER BY hour_bucket RANGE BETWEEN INTERVAL '23 hours' PRECEDING AND CURRENT ROW)
ORDER BY hour_bucket
