-- historical_hourly_patterns: what an hour of Wikipedia looks like.
--
-- Grain: one row per hour that has events. Key: hour_bucket. Order: hour_bucket. Reads: hours (rollup_hours.sql).
SELECT
    hour_bucket,
    events AS total_events,
    -- Null where no event of the hour has bytes_changed.
    bytes_sum AS total_bytes,
    -- The average over the events that have bytes_changed, not over all.
    CAST(bytes_sum AS DOUBLE) / nullif(bytes_known, 0) AS avg_bytes,
    bot_events,
    human_events
FROM hours
ORDER BY hour_bucket
