-- users: who did how much in the window.
--
-- Grain: one row per user and is_bot; a null key is a key of its own.
-- Reads: users (rollup_users.sql), all of the window.
SELECT
    "user",
    is_bot,
    sum(events) AS events,
    sum(bytes_sum) AS bytes_sum,
    sum(new_pages) AS new_pages
FROM users
GROUP BY "user", is_bot
