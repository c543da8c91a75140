-- The archive: every event that decided anything, in the order it was applied, and the content of
-- every whole bank. Append-only; the projection is a function of it.

-- kind: 1 run start, 2 base (startup accounts), 3 bank (sealed), 5 confirmed, 6 rooted,
--       7 dead, 8 reset (a slot opened again), 9 loss, 10 run end
CREATE TABLE archive.event (
    id               bigint PRIMARY KEY,
    kind             smallint NOT NULL,
    run              bytea NOT NULL,
    slot             bigint NOT NULL,
    generation       bigint NOT NULL DEFAULT 0,
    blockhash        bytea,
    parent_slot      bigint,
    parent_blockhash bytea,
    block_time       timestamptz,
    accounts         integer NOT NULL DEFAULT 0,
    whole            boolean NOT NULL DEFAULT true,
    digest           bytea,
    filter_hash      bytea,
    detail           text
);
CREATE INDEX event_slot ON archive.event USING brin (slot);
CREATE INDEX event_bank ON archive.event (slot) WHERE kind = 3;
COMMENT ON TABLE archive.event IS 'Slot events in the order they were applied; id of a kind 3 row is the bank''s number';

-- Account updates of whole banks (bank = archive.event.id) and of bases, with their ordinal in it.
-- Partitions of one epoch (432,000 slots) each are made by the indexer, in the batch that needs one.
CREATE TABLE archive.account (
    slot          bigint NOT NULL,
    bank          bigint NOT NULL,
    ordinal       integer NOT NULL,
    write_version bigint NOT NULL,
    account_slot  bigint NOT NULL,
    pubkey        bytea NOT NULL,
    owner         bytea NOT NULL,
    lamports      bytea NOT NULL,
    signature     bytea,
    data          bytea NOT NULL
) PARTITION BY RANGE (slot);
CREATE INDEX account_slot ON archive.account USING brin (slot) WITH (pages_per_range = 16);
ALTER TABLE archive.account ALTER COLUMN data SET STORAGE EXTERNAL;
COMMENT ON TABLE archive.account IS 'Every account update of every whole bank, as it arrived; lamports are 8 bytes, little-endian';
