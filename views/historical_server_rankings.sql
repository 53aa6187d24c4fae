-- historical_server_rankings: the busiest servers.
--
-- Grain: one row per server_name, language and project (null is a group of its own), the 50 largest.
-- Key: server_name, language, project. Order: rank.
-- Reads: places (rollup_places.sql) and server_unique_users (window_server_unique_users.sql).
WITH servers AS (
    SELECT
        server_name,
        language,
        project,
        sum(events) AS edit_count,
        sum(bytes_sum) AS total_bytes
    FROM places
    GROUP BY server_name, language, project
),
ranked AS (
    -- Among all servers: the cut comes after.
    SELECT
        *,
        -- No two share a rank: ties go by server_name, language, project, ascending, nulls first.
        CAST(row_number() OVER (
            ORDER BY edit_count DESC, server_name ASC NULLS FIRST, language ASC NULLS FIRST, project ASC NULLS FIRST
        ) AS BIGINT) AS rank,
        -- 0 for the busiest, 1 for the last; servers with equally many edits share one.
        percent_rank() OVER (ORDER BY edit_count DESC) AS percentile
    FROM servers
)
SELECT
    ranked.server_name,
    ranked.language,
    ranked.project,
    edit_count,
    total_bytes,
    -- A server on which nobody has a name is not among them.
    coalesce(unique_users, 0) AS unique_users,
    rank,
    percentile
FROM ranked
LEFT JOIN server_unique_users AS users
    -- Null keys are equal to each other here.
    ON (ranked.server_name IS NOT DISTINCT FROM users.server_name)
    AND (ranked.language IS NOT DISTINCT FROM users.language)
    AND (ranked.project IS NOT DISTINCT FROM users.project)
WHERE rank <= 50
ORDER BY rank
