-- historical_language_distribution: how the edits spread over languages and projects.
--
-- Grain: one row per language and project (null is a group of its own), all of them. Key: language, project.
-- Order: edit_count, largest first; ties by language, then project, ascending, nulls first.
-- Reads: places (rollup_places.sql).
SELECT
    language,
    project,
    sum(events) AS edit_count,
    sum(bytes_sum) AS total_bytes,
    sum(bot_events) AS bot_edits,
    sum(new_pages) AS new_pages
FROM places
GROUP BY language, project
ORDER BY edit_count DESC, language ASC NULLS FIRST, project ASC NULLS FIRST
