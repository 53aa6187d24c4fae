-- historical_hourly_patterns: what an hour of Wikipedia looks like.
--
-- Grain: one row per hour that has events. Key: hour_bucket. Order: hour_bucket.
SELECT
    hour_bucket,
    sum(events) AS total_events,
    -- Null where no event of the hour has bytes_changed.
    sum(bytes_sum) AS total_bytes,
    -- The average over the events that have bytes_changed, not over all.
    CAST(sum(bytes_sum) AS DOUBLE) / nullif(sum(bytes_known), 0) AS avg_bytes,
    -- True counts here, false counts below, null in neither.
    sum(CASE WHEN is_bot THEN events ELSE 0 END) AS bot_events,
    sum(CASE WHEN NOT is_bot THEN events ELSE 0 END) AS human_events
FROM rollup
GROUP BY hour_bucket
ORDER BY hour_bucket
