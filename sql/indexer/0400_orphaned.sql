-- run: projection
-- The highest orphaned banks are read at every start: a bank that is sealed again is told from a new one by them.
CREATE INDEX slot_orphaned ON slot (slot, blockhash) WHERE status = 4;
