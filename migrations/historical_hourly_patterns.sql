-- Runs with search_path set to POSTGRES_SCHEMA, and only where the table is missing.
CREATE TABLE IF NOT EXISTS historical_hourly_patterns (
    hour_bucket  timestamptz,
    total_events bigint,
    total_bytes  bigint,
    avg_bytes    double precision,
    bot_events   bigint,
    human_events bigint
);
COMMENT ON TABLE historical_hourly_patterns IS 'What an hour of Wikipedia looks like; one row per hour that has events. Written by lakebed.';
COMMENT ON COLUMN historical_hourly_patterns.hour_bucket IS 'The hour''s first instant';
COMMENT ON COLUMN historical_hourly_patterns.total_events IS 'Events of the hour';
COMMENT ON COLUMN historical_hourly_patterns.total_bytes IS 'Sum of bytes_changed; null where no event has it';
COMMENT ON COLUMN historical_hourly_patterns.avg_bytes IS 'total_bytes over the events that have bytes_changed';
COMMENT ON COLUMN historical_hourly_patterns.bot_events IS 'Events whose is_bot is true';
COMMENT ON COLUMN historical_hourly_patterns.human_events IS 'Events whose is_bot is false';
