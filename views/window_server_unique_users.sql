-- server_unique_users: how many different users each server had in the window.
--
-- Grain: one row per server_name, language and project (null is a group of its own) that somebody with a name edited.
-- Reads: server_users (rollup_server_users.sql), all of the window.
SELECT
    server_name,
    language,
    project,
    -- Exact; events without a user are not in server_users.
    count(DISTINCT "user") AS unique_users
FROM server_users
GROUP BY server_name, language, project
