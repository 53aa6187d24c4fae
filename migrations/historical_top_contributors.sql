-- Runs with search_path set to POSTGRES_SCHEMA, and only where the table is missing.
CREATE TABLE IF NOT EXISTS historical_top_contributors (
    "user"        text,
    is_bot        boolean,
    edit_count    bigint,
    total_bytes   bigint,
    pages_created bigint
);
COMMENT ON TABLE historical_top_contributors IS 'The 100 users (by is_bot) with the most edits of the window. Written by lakebed.';
COMMENT ON COLUMN historical_top_contributors."user" IS 'Name or address; null for events without one';
COMMENT ON COLUMN historical_top_contributors.is_bot IS 'Whether the edits were marked as a bot''s';
COMMENT ON COLUMN historical_top_contributors.edit_count IS 'Events';
COMMENT ON COLUMN historical_top_contributors.total_bytes IS 'Sum of bytes_changed';
COMMENT ON COLUMN historical_top_contributors.pages_created IS 'Events whose is_new_page is true';
