-- The rows of several partials as one: those of users (rollup_users.sql), each key once.
--
-- Reads: users, the rows of all of them.
SELECT
    day_bucket,
    "user",
    is_bot,
    sum(events) AS events,
    sum(bytes_sum) AS bytes_sum,
    sum(new_pages) AS new_pages
FROM users
GROUP BY day_bucket, "user", is_bot
