-- hour_users: who was there in each hour.
--
-- Grain:   one row per hour (UTC) and user. Events without a user are left out: they count for nobody.
-- Reads:   rollup.
-- Adds up: as a set, over any parts of the rollup.
SELECT DISTINCT
    hour_bucket,
    "user"
FROM rollup
WHERE "user" IS NOT NULL
