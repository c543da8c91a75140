-- The feed says which archived update an event is of, and no more: whoever reads it makes the payload from the update. An event
-- takes 100 bytes, not 1,500, and the writer encodes nothing for it. The events so far are removed: subscribers that come again
-- are told that they are no longer kept (410), and read the present state.
DROP TABLE feed.event;
UPDATE feed.counter SET oldest = next;

CREATE TABLE feed.entry (
    seq          bigint PRIMARY KEY,
    slot         bigint NOT NULL,
    bank         bigint NOT NULL,
    at           timestamptz NOT NULL DEFAULT now(),
    first_seq    bigint,
    last_seq     bigint,
    archive_slot bigint,
    ordinal      integer,
    count        integer,
    topic        text NOT NULL,
    op           text NOT NULL CHECK (op IN ('add', 'confirm', 'finalize', 'retract')),
    blockhash    bytea,
    CHECK ((ordinal IS NULL) <> (first_seq IS NULL)),
    CHECK ((ordinal IS NULL) = (archive_slot IS NULL))
);
COMMENT ON TABLE feed.entry IS
    'Events as they are stored: of one archived update (archive_slot, bank and ordinal of archive.account), or of all adds of a bank and topic (first_seq to last_seq); feed.event shows them';
COMMENT ON COLUMN feed.entry.bank IS 'archive.event.id: what archived the update, or the block that the event speaks for';

-- Where an update is. Both columns only grow, so that a new row costs the index next to nothing.
CREATE INDEX account_place ON archive.account (bank, ordinal);

CREATE VIEW feed.event AS
SELECT e.seq, e.topic, e.op, analytics.base58(a.pubkey) AS entity, e.slot,
       COALESCE(analytics.base58(e.blockhash), '') AS blockhash,
       CASE e.op WHEN 'add' THEN 'processed' WHEN 'confirm' THEN 'confirmed' WHEN 'finalize' THEN 'finalized' ELSE 'orphaned' END
           AS commitment,
       CASE WHEN e.first_seq IS NOT NULL
            THEN jsonb_build_object('first_seq', e.first_seq, 'last_seq', e.last_seq, 'count', e.count) END AS payload,
       e.at, a.pubkey
  FROM feed.entry e LEFT JOIN archive.account a ON a.slot = e.archive_slot AND a.bank = e.bank AND a.ordinal = e.ordinal;
COMMENT ON VIEW feed.event IS
    'State changes: one add per change and block; confirm, finalize and retract are one row per block and topic (entity null), whose payload {first_seq, last_seq, count} names the adds of that block and topic. What an add changed is in the table of its account (analytics.jobs, …) and in the feed of the API';
COMMENT ON COLUMN feed.event.topic IS 'jobs, results, disputes, validators, settlements, leases or network';
COMMENT ON COLUMN feed.event.entity IS 'Base58 address of the account that changed; null on rows that speak for a whole block';
COMMENT ON COLUMN feed.event.blockhash IS 'Base58 blockhash; empty for what a base of start-up accounts told';
COMMENT ON COLUMN feed.event.payload IS 'Of rows that speak for a whole block; null for one account';
COMMENT ON COLUMN feed.event.pubkey IS 'The account that changed, 32 bytes; null on rows that speak for a whole block';

CREATE FUNCTION feed.oldest_slot() RETURNS bigint
    LANGUAGE sql STABLE AS $$
    SELECT min(archive_slot) FROM feed.entry
$$;
COMMENT ON FUNCTION feed.oldest_slot() IS
    'Oldest slot of the archive that an event still points into; null if none does. Nothing from it on may leave archive.account. Reads the whole feed';

DO $grant$
BEGIN
    GRANT SELECT ON ALL TABLES IN SCHEMA feed TO mythic_reader;
EXCEPTION WHEN insufficient_privilege OR undefined_object THEN
    RAISE NOTICE 'no right to grant to mythic_reader: analysts need SELECT on schema feed';
END $grant$;
