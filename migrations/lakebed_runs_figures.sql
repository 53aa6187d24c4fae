-- Runs with search_path set to POSTGRES_SCHEMA, and only where an earlier version made lakebed_runs without the column.
ALTER TABLE lakebed_runs ADD COLUMN figures jsonb;
COMMENT ON COLUMN lakebed_runs.figures IS 'What the run had cost when its row was written: files, bytes, milliseconds of each step and of processor, memory, requests';
