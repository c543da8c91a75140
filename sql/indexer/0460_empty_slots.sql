-- run: projection
-- Finalized blocks without content, rolled up: most slots are, and a row of `slot` with its indexes takes three times the room.
-- A block gets here some time after it is finalized (upkeep of the indexer), if it is whole, changed no account and links to the
-- finalized block before it, whose hash is not kept twice. What happened in a slot wrote an account there, so nothing that is counted
-- or dated lies in one of these. `every_slot` has all blocks, whichever table they are in.

CREATE TABLE empty_slot (
    slot        bigint PRIMARY KEY,
    bank        bigint NOT NULL,
    block_time  timestamptz,
    -- Null: the slot before.
    parent_slot bigint,
    blockhash   bytea NOT NULL,
    -- As in `slot`, but never more than 1.
    calls       smallint
);
CREATE INDEX empty_slot_time ON empty_slot (block_time);
CREATE INDEX empty_slot_day ON empty_slot (((block_time AT TIME ZONE 'UTC')::date));

-- Those that may be rolled up.
CREATE INDEX slot_empty ON slot (slot) WHERE status = 3 AND accounts = 0 AND whole;
-- Blocks without content leave it again.
ALTER TABLE slot SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 20000);

CREATE VIEW every_slot AS
SELECT bank, slot, last_slot, blockhash, parent_slot, parent_blockhash, block_time, status, on_processed, replaced, accounts, entities, whole,
       healed, on_confirmed, calls FROM slot
UNION ALL
SELECT e.bank, e.slot, e.slot, e.blockhash, COALESCE(e.parent_slot, e.slot - 1),
       COALESCE((SELECT p.blockhash FROM empty_slot p WHERE p.slot = COALESCE(e.parent_slot, e.slot - 1)),
                (SELECT p.blockhash FROM slot p WHERE p.slot = COALESCE(e.parent_slot, e.slot - 1) AND p.status = 3 LIMIT 1)),
       e.block_time, 3::smallint, false, false, 0, 0, true, false, false, e.calls FROM empty_slot e;
