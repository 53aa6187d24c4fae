-- hours: what is known of each hour as a whole.
--
-- Grain:   one row per hour that has events.
-- Reads:   rollup, all of its rows of these hours: unique_users of parts do not add up.
SELECT
    hour_bucket,
    sum(events) AS events,
    sum(bytes_sum) AS bytes_sum,
    sum(bytes_known) AS bytes_known,
    -- True counts here, false counts below, null in neither.
    sum(CASE WHEN is_bot THEN events ELSE 0 END) AS bot_events,
    sum(CASE WHEN NOT is_bot THEN events ELSE 0 END) AS human_events,
    -- Exact; events without a user count for nobody.
    count(DISTINCT "user") AS unique_users
FROM rollup
GROUP BY hour_bucket
