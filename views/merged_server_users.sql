-- The rows of several partials as one: those of server_users (rollup_server_users.sql), each key once. Two columns of
-- numbers stand for the user.
--
-- Reads: server_users, the rows of all of them.
SELECT DISTINCT
    day_bucket,
    server_name,
    language,
    project,
    key_high,
    key_low
FROM server_users
