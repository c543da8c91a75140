-- run: projection
-- Instructions of our program, failed ones too: one row each. A row is written with its bank, whatever becomes of that; views show those
-- of the banks on a chain. Text of keys is in `address`, and what the interface says of numbers in the tables below, which the
-- indexer fills when it starts.

-- Null: transactions are not streamed (an older plugin, or switched off). 0: some may be missing. 1: none are missing, and there are none unless
-- it is said yet. 2: all are here.
ALTER TABLE slot ADD COLUMN calls smallint;

CREATE TABLE call (
    slot              bigint NOT NULL,
    bank              bigint NOT NULL,
    transaction       integer NOT NULL,
    call              smallint NOT NULL,
    instruction       smallint NOT NULL,
    inner_instruction smallint,
    success           boolean NOT NULL,
    tag               smallint,
    fee_lamports      bigint,
    compute_units     bigint,
    error_code        bigint,
    signature         bytea NOT NULL,
    signer            bytea NOT NULL,
    -- In their order, 32 bytes each.
    accounts          bytea NOT NULL,
    job               bytea,
    error             text,
    arguments         jsonb,
    -- What could not be read.
    data              bytea,
    PRIMARY KEY (slot, bank, transaction, call)
);
CREATE INDEX call_job ON call (job, slot) WHERE job IS NOT NULL;
CREATE INDEX call_signature ON call USING hash (signature);
CREATE INDEX call_failed ON call (slot) WHERE NOT success;

CREATE TABLE instruction (
    tag      smallint PRIMARY KEY,
    name     text NOT NULL,
    -- Name of the accounts that may follow the list.
    following text
);
CREATE TABLE instruction_role (
    tag   smallint NOT NULL,
    place smallint NOT NULL,
    name  text NOT NULL,
    PRIMARY KEY (tag, place)
);
CREATE TABLE program (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    key      bytea NOT NULL
);
CREATE TABLE program_error (
    code    bigint PRIMARY KEY,
    name    text NOT NULL,
    message text NOT NULL
);
