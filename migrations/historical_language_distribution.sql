-- Runs with search_path set to POSTGRES_SCHEMA, and only where the table is missing.
CREATE TABLE IF NOT EXISTS historical_language_distribution (
    language    text,
    project     text,
    edit_count  bigint,
    total_bytes bigint,
    bot_edits   bigint,
    new_pages   bigint
);
COMMENT ON TABLE historical_language_distribution IS 'Edits of the window by language and project. Written by lakebed.';
COMMENT ON COLUMN historical_language_distribution.language IS 'Such as en; null where the event has none';
COMMENT ON COLUMN historical_language_distribution.project IS 'Such as wikipedia; null where the event has none';
COMMENT ON COLUMN historical_language_distribution.edit_count IS 'Events';
COMMENT ON COLUMN historical_language_distribution.total_bytes IS 'Sum of bytes_changed';
COMMENT ON COLUMN historical_language_distribution.bot_edits IS 'Events whose is_bot is true';
COMMENT ON COLUMN historical_language_distribution.new_pages IS 'Events whose is_new_page is true';
