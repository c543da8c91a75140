-- The feed (an outbox): what changed, numbered without gaps, written in the same transaction as the
-- tables. NOTIFY mythic_feed carries the largest number.

-- One row; locked by the writer, so that numbers are given in commit order and never skipped.
CREATE TABLE feed.counter (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    next     bigint NOT NULL DEFAULT 1,
    oldest   bigint NOT NULL DEFAULT 1
) WITH (fillfactor = 50);
INSERT INTO feed.counter DEFAULT VALUES;
COMMENT ON TABLE feed.counter IS 'next = number of the next event; events below oldest were removed by retention';

CREATE TABLE feed.event (
    seq        bigint PRIMARY KEY,
    topic      text NOT NULL,
    op         text NOT NULL CHECK (op IN ('add', 'confirm', 'finalize', 'retract')),
    entity     text,
    slot       bigint NOT NULL,
    blockhash  text NOT NULL,
    commitment text NOT NULL CHECK (commitment IN ('processed', 'confirmed', 'finalized', 'orphaned')),
    payload    jsonb,
    at         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX event_entity ON feed.event (entity, seq) WHERE entity IS NOT NULL;
COMMENT ON TABLE feed.event IS
    'State changes: one add per change and bank; confirm, finalize and retract are one row per bank and topic (entity null), whose payload {first_seq, last_seq, count} names the adds of that bank and topic';
COMMENT ON COLUMN feed.event.topic IS 'jobs, results, disputes, validators, settlements, leases or network';
COMMENT ON COLUMN feed.event.entity IS 'Base58 address of the account that changed; null on rows that speak for a whole bank';
COMMENT ON COLUMN feed.event.blockhash IS 'Base58 blockhash of the bank';

-- Which adds each bank made, per topic: confirm, finalize and retract are written from here.
CREATE TABLE feed.bank_topic (
    bank       bigint NOT NULL,
    topic      text NOT NULL,
    slot       bigint NOT NULL,
    blockhash  text NOT NULL,
    first_seq  bigint NOT NULL,
    last_seq   bigint NOT NULL,
    count      integer NOT NULL,
    PRIMARY KEY (bank, topic)
);
CREATE INDEX bank_topic_seq ON feed.bank_topic (last_seq);
COMMENT ON TABLE feed.bank_topic IS
    'The adds of one bank and topic lie between first_seq and last_seq (other topics of that bank between them)';
