-- Which processes that write to this database live. Each beats every few seconds; one whose beat_at is older than half a
-- minute is stopped, hangs, or can't reach the database. Shown by the gateway's /health.
CREATE TABLE pipeline.heartbeat (
    process text PRIMARY KEY,
    beat_at timestamptz NOT NULL,
    working boolean NOT NULL,
    error   text
) WITH (fillfactor = 50);
COMMENT ON TABLE pipeline.heartbeat IS 'When each process that writes here last said that it lives';
COMMENT ON COLUMN pipeline.heartbeat.process IS 'indexer or settler';
COMMENT ON COLUMN pipeline.heartbeat.beat_at IS 'Time of the last beat; stale after 30 s';
COMMENT ON COLUMN pipeline.heartbeat.working IS 'False while it waits for something, as the chain';
COMMENT ON COLUMN pipeline.heartbeat.error IS 'What it waits for; null while it works';

-- Says that a process lives.
CREATE FUNCTION pipeline.beat(which text, works boolean, why text) RETURNS void
    LANGUAGE sql AS $$
    INSERT INTO pipeline.heartbeat AS h (process, beat_at, working, error) VALUES (which, now(), works, why)
    ON CONFLICT (process) DO UPDATE SET beat_at = EXCLUDED.beat_at, working = EXCLUDED.working, error = EXCLUDED.error;
$$;
