-- Runs with search_path set to POSTGRES_SCHEMA, and only where the table is missing.
CREATE TABLE IF NOT EXISTS historical_server_rankings (
    server_name  text,
    language     text,
    project      text,
    edit_count   bigint,
    total_bytes  bigint,
    unique_users bigint,
    rank         bigint,
    percentile   double precision
);
COMMENT ON TABLE historical_server_rankings IS 'The 50 servers with the most edits of the window. Written by lakebed.';
COMMENT ON COLUMN historical_server_rankings.server_name IS 'Such as en.wikipedia.org';
COMMENT ON COLUMN historical_server_rankings.language IS 'Such as en';
COMMENT ON COLUMN historical_server_rankings.project IS 'Such as wikipedia';
COMMENT ON COLUMN historical_server_rankings.edit_count IS 'Events';
COMMENT ON COLUMN historical_server_rankings.total_bytes IS 'Sum of bytes_changed';
COMMENT ON COLUMN historical_server_rankings.unique_users IS 'Distinct users, exact';
COMMENT ON COLUMN historical_server_rankings.rank IS '1 for the most edits; no two alike';
COMMENT ON COLUMN historical_server_rankings.percentile IS 'percent_rank by edit_count among all servers, 0 for the busiest';
