-- The archive's updates in parcels: a row holds up to 256 updates of one block, compressed, instead of one.
-- Rows of before stay as they are, and every reader takes both.
ALTER TABLE archive.account
    ALTER COLUMN write_version DROP NOT NULL,
    ALTER COLUMN account_slot DROP NOT NULL,
    ALTER COLUMN pubkey DROP NOT NULL,
    ALTER COLUMN owner DROP NOT NULL,
    ALTER COLUMN lamports DROP NOT NULL,
    ALTER COLUMN data DROP NOT NULL,
    ADD COLUMN updates integer,
    ADD COLUMN keys bytea,
    ADD COLUMN body bytea;
-- A partition that is detached and not dropped yet is attached again for a block that comes late.
DO $detached$
DECLARE
    t regclass;
BEGIN
    FOR t IN SELECT c.oid::regclass FROM pg_class c
              WHERE c.relnamespace = 'archive'::regnamespace AND c.relkind = 'r' AND NOT c.relispartition AND c.relname ~ '^account_[0-9]{1,15}$'
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN write_version DROP NOT NULL, ALTER COLUMN account_slot DROP NOT NULL,
            ALTER COLUMN pubkey DROP NOT NULL, ALTER COLUMN owner DROP NOT NULL, ALTER COLUMN lamports DROP NOT NULL,
            ALTER COLUMN data DROP NOT NULL, ADD COLUMN updates integer, ADD COLUMN keys bytea, ADD COLUMN body bytea', t);
    END LOOP;
END $detached$;
-- What is compressed or as random as keys is not tried again. A part of the keys is read without the rest.
ALTER TABLE archive.account ALTER COLUMN keys SET STORAGE EXTERNAL;
ALTER TABLE archive.account ALTER COLUMN body SET STORAGE EXTERNAL;
COMMENT ON TABLE archive.account IS
    'Account updates of whole blocks and of bases, as they arrived: up to 256 a row, or one in rows of before 0510. Those of older epochs are in files (archive.file)';
COMMENT ON COLUMN archive.account.slot IS 'Slot of the block; of a base the slot it is archived under';
COMMENT ON COLUMN archive.account.bank IS 'archive.event.id of the block or base';
COMMENT ON COLUMN archive.account.ordinal IS 'Place of the (first) update in it, from 0';
COMMENT ON COLUMN archive.account.updates IS 'How many updates the row holds, at most 256; null: one, in columns write_version to data';
COMMENT ON COLUMN archive.account.keys IS 'Addresses of the accounts, 32 bytes each, in the order of the updates';
COMMENT ON COLUMN archive.account.body IS 'Everything else of the updates: a byte that says how it is packed (0 not, 1 zstd), then heads, signatures and contents; `mythic indexer archive --update` shows one';
COMMENT ON COLUMN archive.account.write_version IS 'Of a single update: the validator''s own counter';
COMMENT ON COLUMN archive.account.account_slot IS 'Of a single update: slot that the producer gave the account';
COMMENT ON COLUMN archive.account.pubkey IS 'Of a single update: address of the account, 32 bytes';
COMMENT ON COLUMN archive.account.owner IS 'Of a single update: the program that owns the account, 32 bytes';
COMMENT ON COLUMN archive.account.lamports IS 'Of a single update: lamports of the account, 8 bytes, little-endian';
COMMENT ON COLUMN archive.account.signature IS 'Of a single update: signature of the transaction, 64 bytes; null at a start';
COMMENT ON COLUMN archive.account.data IS 'Of a single update: content of the account';

CREATE OR REPLACE VIEW feed.event AS
SELECT e.seq, e.topic, e.op, analytics.base58(k.pubkey) AS entity, e.slot,
       COALESCE(analytics.base58(e.blockhash), '') AS blockhash,
       CASE e.op WHEN 'add' THEN 'processed' WHEN 'confirm' THEN 'confirmed' WHEN 'finalize' THEN 'finalized' ELSE 'orphaned' END
           AS commitment,
       CASE WHEN e.first_seq IS NOT NULL
            THEN jsonb_build_object('first_seq', e.first_seq, 'last_seq', e.last_seq, 'count', e.count) END AS payload,
       e.at, k.pubkey
  FROM feed.entry e
  LEFT JOIN archive.account a ON a.slot = e.archive_slot AND a.bank = e.bank AND a.ordinal > e.ordinal - 256 AND a.ordinal <= e.ordinal
        AND e.ordinal < a.ordinal + COALESCE(a.updates, 1)
 CROSS JOIN LATERAL (SELECT COALESCE(substr(a.keys, 32 * (e.ordinal - a.ordinal) + 1, 32), a.pubkey) AS pubkey) k;
