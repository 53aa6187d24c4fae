-- Runs with search_path set to POSTGRES_SCHEMA, and only where the table is missing.
CREATE TABLE IF NOT EXISTS lakebed_runs (
    id             uuid PRIMARY KEY,
    outcome        text NOT NULL,
    started_at     timestamptz NOT NULL,
    ended_at       timestamptz NOT NULL,
    window_start   timestamptz NOT NULL,
    window_end     timestamptz NOT NULL,
    lake_id        text,
    lake_version   bigint,
    mode           text NOT NULL,
    events_read    bigint,
    corrupt_files  bigint,
    rows_per_table jsonb,
    error          text,
    figures        jsonb
);
COMMENT ON TABLE lakebed_runs IS 'One row per run of lakebed process, failed ones too; a run''s row and its tables are committed together.';
COMMENT ON COLUMN lakebed_runs.id IS 'The run';
COMMENT ON COLUMN lakebed_runs.outcome IS 'published, ignored, superseded or failed';
COMMENT ON COLUMN lakebed_runs.started_at IS 'When the run began';
COMMENT ON COLUMN lakebed_runs.ended_at IS 'When it published or gave up';
COMMENT ON COLUMN lakebed_runs.window_start IS 'The tables cover the events from here';
COMMENT ON COLUMN lakebed_runs.window_end IS 'to here, both included';
COMMENT ON COLUMN lakebed_runs.lake_id IS 'The id of the lake''s table raw_events';
COMMENT ON COLUMN lakebed_runs.lake_version IS 'The version of raw_events that the tables were computed from';
COMMENT ON COLUMN lakebed_runs.mode IS 'overwrite, append, ignore or error';
COMMENT ON COLUMN lakebed_runs.events_read IS 'Events in the window';
COMMENT ON COLUMN lakebed_runs.corrupt_files IS 'Data files of the window that could not be read and were left out (--skip-corrupt)';
COMMENT ON COLUMN lakebed_runs.rows_per_table IS 'Rows that were published, by table';
COMMENT ON COLUMN lakebed_runs.error IS 'Why the run failed';
COMMENT ON COLUMN lakebed_runs.figures IS 'What the run had cost when its row was written: files, bytes, milliseconds of each step and of processor, memory, requests';
