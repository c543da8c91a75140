-- run: projection
-- What was, written when a bank ends, before its hot rows are forgotten: of rooted banks the prices and balances as each bank
-- left them, of orphaned banks the jobs that were undone. A function of the banks that ended, whatever batches they came in.
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

-- Jobs as a bank had them that came to nothing.
CREATE TABLE job_undone (
    bank bigint NOT NULL, slot bigint NOT NULL, pubkey bytea NOT NULL, requested_slot bigint NOT NULL, status smallint NOT NULL,
    write_seq bigint NOT NULL, fee_lamports bigint, validator bytea,
    PRIMARY KEY (bank, pubkey, requested_slot)
);
CREATE INDEX job_undone_job ON job_undone (pubkey, requested_slot);
CREATE INDEX job_undone_slot ON job_undone (slot);
