-- Runs with search_path set to POSTGRES_SCHEMA, and only where an earlier version made lakebed_runs without the column.
ALTER TABLE lakebed_runs ADD COLUMN corrupt_files bigint;
COMMENT ON COLUMN lakebed_runs.corrupt_files IS 'Data files of the window that could not be read and were left out (--skip-corrupt)';
