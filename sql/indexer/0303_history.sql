-- run: projection
-- What was, written when a bank ends and its hot rows are forgotten: of rooted banks the prices and balances as each bank left
-- them, of orphaned banks the jobs that were undone. A function of the banks that ended, whatever batches they came in.
-- A database that had banks before these tables has their history after `mythic indexer rebuild --swap always`.

CREATE TABLE model_price (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, exact boolean NOT NULL,
    pubkey bytea NOT NULL, price_in bigint NOT NULL, price_out bigint NOT NULL, retired boolean NOT NULL,
    PRIMARY KEY (pubkey, slot, ordinal)
);
CREATE TABLE vault_balance (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, exact boolean NOT NULL,
    pubkey bytea NOT NULL, balance bigint NOT NULL, held bigint NOT NULL, deposited bigint NOT NULL,
    withdrawn bigint NOT NULL, spent bigint NOT NULL,
    PRIMARY KEY (pubkey, slot, ordinal)
);
CREATE TABLE treasury_balance (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, exact boolean NOT NULL,
    pubkey bytea NOT NULL, balance bigint NOT NULL, withdrawn bigint NOT NULL, received bigint NOT NULL,
    PRIMARY KEY (pubkey, slot, ordinal)
);
CREATE TABLE validator_balance (
    bank bigint NOT NULL, slot bigint NOT NULL, ordinal integer NOT NULL, exact boolean NOT NULL,
    pubkey bytea NOT NULL, stake bigint NOT NULL, activating bigint NOT NULL, unbonding bigint NOT NULL,
    claimable bigint NOT NULL, owed_foundation bigint NOT NULL, owed_burn bigint NOT NULL, earned bigint NOT NULL,
    slashed bigint NOT NULL,
    PRIMARY KEY (pubkey, slot, ordinal)
);

DO $build$
DECLARE
    h record;
    columns text;
BEGIN
FOR h IN SELECT * FROM (VALUES ('model_price', 'model_hot'), ('vault_balance', 'vault_hot'), ('treasury_balance', 'treasury_hot'),
                               ('validator_balance', 'validator_hot')) v(name, hot)
LOOP
    SELECT string_agg(format('%I', attname), ', ' ORDER BY attnum) INTO columns
      FROM pg_attribute WHERE attrelid = h.name::regclass AND attnum > 5 AND NOT attisdropped;
    -- A base has no row in `slot`: it tells what it found changed, and what was never seen before.
    EXECUTE format($sql$
        CREATE FUNCTION %1$s_kept() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $f$
        BEGIN
            INSERT INTO %1$s (bank, slot, ordinal, exact, pubkey, %2$s)
            SELECT g.bank, g.slot, g.ordinal, g.exact, g.pubkey, %3$s
              FROM gone g LEFT JOIN slot s ON s.bank = g.bank
             WHERE s.status = 3 OR (s.bank IS NULL AND (%3$s) IS DISTINCT FROM (
                       SELECT %4$s FROM %1$s k WHERE k.pubkey = g.pubkey AND k.slot <= g.slot ORDER BY k.slot DESC, k.ordinal DESC LIMIT 1))
            ON CONFLICT DO NOTHING;
            RETURN NULL;
        END $f$;
        CREATE TRIGGER kept AFTER DELETE ON %5$s REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION %1$s_kept();
        $sql$, h.name, columns, regexp_replace(columns, '(\w+)', 'g.\1', 'g'), regexp_replace(columns, '(\w+)', 'k.\1', 'g'), h.hot);
END LOOP;
END $build$;

-- Jobs as a bank had them that came to nothing.
CREATE TABLE job_undone (
    bank bigint NOT NULL, slot bigint NOT NULL, pubkey bytea NOT NULL, requested_slot bigint NOT NULL, status smallint NOT NULL,
    write_seq bigint NOT NULL, fee_lamports bigint, validator bytea,
    PRIMARY KEY (bank, pubkey, requested_slot)
);
CREATE INDEX job_undone_job ON job_undone (pubkey, requested_slot);
CREATE INDEX job_undone_slot ON job_undone (slot);
CREATE FUNCTION job_undone_kept() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $f$
BEGIN
    INSERT INTO job_undone (bank, slot, pubkey, requested_slot, status, write_seq, fee_lamports, validator)
    SELECT g.bank, g.slot, g.pubkey, g.requested_slot, g.status, g.write_seq, g.fee_lamports, g.validator
      FROM gone g JOIN slot s ON s.bank = g.bank AND s.status = 4
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $f$;
CREATE TRIGGER kept AFTER DELETE ON job_hot REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION job_undone_kept();
