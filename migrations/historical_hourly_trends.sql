-- Runs with search_path set to POSTGRES_SCHEMA, and only where the table is missing.
CREATE TABLE IF NOT EXISTS historical_hourly_trends (
    hour_bucket    timestamptz,
    total_events   bigint,
    total_bytes    bigint,
    bot_count      bigint,
    human_count    bigint,
    unique_users   bigint,
    events_24h_avg double precision,
    bytes_24h_avg  double precision
);
COMMENT ON TABLE historical_hourly_trends IS 'Each hour beside the day that ends with it; one row per hour that has events. Written by lakebed.';
COMMENT ON COLUMN historical_hourly_trends.hour_bucket IS 'The hour''s first instant';
COMMENT ON COLUMN historical_hourly_trends.total_events IS 'Events of the hour';
COMMENT ON COLUMN historical_hourly_trends.total_bytes IS 'Sum of bytes_changed; null where no event has it';
COMMENT ON COLUMN historical_hourly_trends.bot_count IS 'Events whose is_bot is true';
COMMENT ON COLUMN historical_hourly_trends.human_count IS 'Events whose is_bot is false';
COMMENT ON COLUMN historical_hourly_trends.unique_users IS 'Distinct users, exact';
COMMENT ON COLUMN historical_hourly_trends.events_24h_avg IS 'Average of total_events over the hours present among this one and the 23 before it in time';
COMMENT ON COLUMN historical_hourly_trends.bytes_24h_avg IS 'The same of total_bytes, hours without one left out';
