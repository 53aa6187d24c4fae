-- historical_top_contributors: who edits most.
--
-- Grain: one row per user and is_bot (a user seen with both has two; null is a group of its own), the 100 largest.
-- Key: user, is_bot. Order: edit_count, largest first; ties by user, then is_bot, ascending, nulls first.
-- Reads: users (rollup_users.sql).
SELECT
    "user",
    is_bot,
    sum(events) AS edit_count,
    sum(bytes_sum) AS total_bytes,
    sum(new_pages) AS pages_created
FROM users
GROUP BY "user", is_bot
ORDER BY edit_count DESC, "user" ASC NULLS FIRST, is_bot ASC NULLS FIRST
LIMIT 100
