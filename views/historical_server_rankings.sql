-- historical_server_rankings: the busiest servers.
--
-- Grain: one row per server_name, language and project (null is a group of its own), the 50 largest.
-- Key: server_name, language, project. Order: rank.
WITH servers AS (
    SELECT
        server_name,
        language,
        project,
        sum(events) AS edit_count,
        sum(bytes_sum) AS total_bytes,
        -- Exact; events without a user count for nobody.
        count(DISTINCT "user") AS unique_users
    FROM rollup
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
SELECT server_name, language, project, edit_count, total_bytes, unique_users, rank, percentile
FROM ranked
WHERE rank <= 50
ORDER BY rank
