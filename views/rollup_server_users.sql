-- server_users: who was on which server on each day.
--
-- Grain:   one row per day (UTC), server_name, language, project and user; a null key is a key of its own. Events
--          without a user are left out: they count for nobody.
-- Reads:   rollup.
-- Adds up: as a set, over any parts of the rollup.
SELECT DISTINCT
    date_bin(INTERVAL '1 day', hour_bucket) AS day_bucket,
    server_name,
    language,
    project,
    "user"
FROM rollup
WHERE "user" IS NOT NULL
