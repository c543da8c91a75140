-- run: projection
-- What is known of each chain. Gaps, incomplete banks and unreadable content make rows inexact, each on the chain that has them.

-- Banks of the confirmed chain. Two confirmed banks may share a slot: one of them is on it.
-- status 7: a bank of a gap that waited for its link until there was no room for it.
ALTER TABLE slot ADD COLUMN on_confirmed boolean NOT NULL DEFAULT false;
UPDATE slot SET on_confirmed = true WHERE status = 2;
CREATE INDEX slot_waiting ON slot (slot) WHERE status IN (1, 2);

-- processed_inexact_through, confirmed_inexact_through: newest slot of the unrooted part of that chain whose bank was not seen or is not
-- whole, -1 if there is none. doubt_through: newest rooted slot that was ever in a gap or not whole, healed or not. healed_through:
-- slot of the newest base that was compared with all rows, healed_event its number, healed_base_slot the slot it is archived under.
-- pending_confirmed: confirmed banks whose seal has not come, 8 bytes of slot and 32 of hash each.
ALTER TABLE head
    ADD COLUMN processed_inexact_through bigint NOT NULL DEFAULT -1,
    ADD COLUMN confirmed_inexact_through bigint NOT NULL DEFAULT -1,
    ADD COLUMN doubt_through bigint NOT NULL DEFAULT -1,
    ADD COLUMN healed_through bigint,
    ADD COLUMN healed_event bigint,
    ADD COLUMN healed_base_slot bigint,
    ADD COLUMN pending_confirmed bytea NOT NULL DEFAULT '';
UPDATE head SET doubt_through = COALESCE((SELECT max(last_slot) FROM slot WHERE status = 6 OR (status = 3 AND NOT whole)), -1);

-- Every closing of an account, not only the newest: an address may be used again, and a job's closing is the first one after its
-- last row. exact = false: a base lacked the account, so it was closed in that slot or before.
ALTER TABLE closure DROP CONSTRAINT closure_pkey, ADD PRIMARY KEY (pubkey, slot);
ALTER TABLE closure_overlay DROP CONSTRAINT closure_overlay_pkey, ADD PRIMARY KEY (chain, pubkey, slot);

-- The newest time the content of an account could not be read. A row of it that is older is what was last read: inexact.
-- reason: why; null once it could be read again.
CREATE TABLE unreadable (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, write_seq bigint NOT NULL, exact boolean NOT NULL,
    pubkey bytea PRIMARY KEY,
    reason text
);
CREATE TABLE unreadable_hot (LIKE unreadable, PRIMARY KEY (bank, pubkey))
    WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE TABLE unreadable_overlay (chain smallint NOT NULL, LIKE unreadable, PRIMARY KEY (chain, pubkey))
    WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX ON unreadable_overlay (bank);

DO $views$
DECLARE
    e record;
    c record;
    cols text;
BEGIN
FOR e IN SELECT * FROM (VALUES ('closure', 'o.pubkey = f.pubkey AND o.slot = f.slot'), ('unreadable', 'o.pubkey = f.pubkey')) v(name, same) LOOP
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO cols
        FROM pg_attribute WHERE attrelid = e.name::regclass AND attnum > 0 AND NOT attisdropped;
    FOR c IN SELECT * FROM (VALUES (1, 'processed'), (2, 'confirmed')) v(chain, word) LOOP
        EXECUTE format('CREATE OR REPLACE VIEW %1$I AS
            SELECT %2$s FROM %3$I f WHERE NOT EXISTS (SELECT FROM %4$I o WHERE o.chain = %5$s AND %6$s)
            UNION ALL SELECT %2$s FROM %4$I WHERE chain = %5$s',
            e.name || '_' || c.word, cols, e.name, e.name || '_overlay', c.chain, e.same);
    END LOOP;
    EXECUTE format('CREATE OR REPLACE VIEW %I AS SELECT %s FROM %I', e.name || '_finalized', cols, e.name);
END LOOP;
END $views$;

-- Rows that were last written in slot `through` or before may have changed unseen.
CREATE VIEW inexact_finalized AS SELECT inexact_through AS through FROM head;
CREATE VIEW inexact_confirmed AS SELECT greatest(inexact_through, confirmed_inexact_through) AS through FROM head;
CREATE VIEW inexact_processed AS SELECT greatest(inexact_through, processed_inexact_through) AS through FROM head;
