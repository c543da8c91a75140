-- What keeps the archive small: older events in packs, spans that are older than the retention in files. `mythic indexer` moves
-- them while it runs; nothing is lost, and a rebuild reads files, packs and rows.

CREATE TABLE archive.pack (
    first_event bigint PRIMARY KEY,
    last_event  bigint NOT NULL,
    first_slot  bigint,
    last_slot   bigint,
    body        bytea NOT NULL
);
-- It is compressed already.
ALTER TABLE archive.pack ALTER COLUMN body SET STORAGE EXTERNAL;
COMMENT ON TABLE archive.pack IS 'Older rows of archive.event, many in one, compressed with zstd: first_event to last_event, without gaps';
COMMENT ON COLUMN archive.pack.first_slot IS 'Lowest slot of its blocks and start-up accounts; null if it has none';
COMMENT ON COLUMN archive.pack.last_slot IS 'Highest slot of them';
COMMENT ON COLUMN archive.pack.body IS 'The events, in the order of their numbers, as in a file of the archive but without account updates';

CREATE TABLE archive.file (
    first_event bigint PRIMARY KEY,
    last_event  bigint NOT NULL,
    first_slot  bigint,
    last_slot   bigint,
    events      bigint NOT NULL,
    updates     bigint NOT NULL,
    bytes       bigint NOT NULL,
    sha256      bytea NOT NULL CHECK (length(sha256) = 32),
    previous    bytea,
    written_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE archive.file IS 'The files of the archive: events-FIRST.archive in archive_dir, each with all events from first_event to last_event and their account updates';
COMMENT ON COLUMN archive.file.first_slot IS 'Lowest slot of its blocks and start-up accounts; null if it has none';
COMMENT ON COLUMN archive.file.last_slot IS 'Highest slot of them';
COMMENT ON COLUMN archive.file.updates IS 'Account updates in it';
COMMENT ON COLUMN archive.file.bytes IS 'Size of the file';
COMMENT ON COLUMN archive.file.sha256 IS 'Hash of the whole file';
COMMENT ON COLUMN archive.file.previous IS 'Hash of the file before it, which it names in its head; null for the first';

-- Rows come at the end and go at the front.
ALTER TABLE archive.event SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 10000,
                               autovacuum_vacuum_insert_scale_factor = 0.05);
-- What looks for start-up accounts in a span of slots.
CREATE INDEX event_base ON archive.event (slot) WHERE kind = 2;
COMMENT ON TABLE archive.event IS
    'The newest slot events in the order they were applied; id of a kind 3 row is the bank''s number. Older ones are in archive.pack, then in files';
COMMENT ON TABLE archive.account IS
    'Account updates of whole banks, as they arrived; lamports are 8 bytes, little-endian. Those of older epochs are in files (archive.file)';