-- The sessions that a publisher waits for: $1 is the schema, $2 the names of its tables.
WITH
    -- The lock that publishers of the schema take turns by: a 64-bit key, which pg_locks shows as two halves.
    turn AS (
        SELECT hashtextextended('lakebed:' || $1::text, 0) AS key
    ),
    -- The tables that a publisher writes.
    tables AS (
        SELECT pg_class.oid
        FROM pg_class
        JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE nspname = $1 AND relname = ANY ($2)
    )
-- Readers' and writers' locks on tables keep nobody from writing; the stronger ones do.
SELECT DISTINCT
    session.pid,
    coalesce(session.usename::text, 'unknown') AS "user",
    coalesce(nullif(session.application_name, ''), 'unnamed') AS application,
    coalesce(session.state, 'unknown') AS state,
    session.xact_start
FROM pg_locks AS held
CROSS JOIN turn
JOIN pg_stat_activity AS session USING (pid)
WHERE held.granted
  AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND session.pid <> pg_backend_pid()
  AND (
      (held.locktype = 'advisory' AND held.objsubid = 1
       AND held.classid = ((turn.key >> 32) & 4294967295)::oid
       AND held.objid = (turn.key & 4294967295)::oid)
      OR (held.locktype = 'relation' AND held.relation IN (SELECT oid FROM tables)
          AND held.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'))
  )
ORDER BY xact_start
