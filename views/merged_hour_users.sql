-- The rows of several partials as one: those of hour_users (rollup_hour_users.sql), each key once. Two columns of numbers
-- stand for the user.
--
-- Reads: hour_users, the rows of all of them.
SELECT DISTINCT
    hour_bucket,
    key_high,
    key_low
FROM hour_users
