-- How the holder of the lease says that it lives: on a connection of its own, so that a transaction may take as long as it needs
-- and nobody takes its writer for dead. (What a transaction writes is seen by others only when it commits.)
CREATE TABLE pipeline.renewal (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch      bigint NOT NULL,
    renewed_at timestamptz NOT NULL
) WITH (fillfactor = 50);
INSERT INTO pipeline.renewal (epoch, renewed_at) SELECT epoch, renewed_at FROM pipeline.lease;
COMMENT ON TABLE pipeline.renewal IS 'When the holder of the lease (its epoch) last said that it lives';
