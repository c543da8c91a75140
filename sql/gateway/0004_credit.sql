-- Prepaid credit: what wallets paid to the operator for fees and rent beyond what it lays out for free, and what became of it.

-- Of `paid_in`, `spent` went into fees and `held` into rent that has not come back yet; the rest is the balance.
CREATE TABLE IF NOT EXISTS gateway.credit (
    owner   bytea PRIMARY KEY CHECK (length(owner) = 32),
    paid_in bigint NOT NULL DEFAULT 0 CHECK (paid_in >= 0),
    spent   bigint NOT NULL DEFAULT 0 CHECK (spent >= 0),
    held    bigint NOT NULL DEFAULT 0 CHECK (held >= 0),
    CHECK (paid_in >= spent + held)
);

-- Transfers that were credited: one transaction may pay for several wallets, each once. Kept for longer than a transfer may be
-- told of.
CREATE TABLE IF NOT EXISTS gateway.credit_payment (
    signature bytea NOT NULL CHECK (length(signature) = 64),
    owner     bytea NOT NULL CHECK (length(owner) = 32),
    lamports  bigint NOT NULL CHECK (lamports > 0),
    slot      bigint NOT NULL,
    at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (signature, owner)
);
CREATE INDEX IF NOT EXISTS credit_payment_at ON gateway.credit_payment (at);

-- What a job took of its wallet's credit. `rent` is out until `returned_at`: until the chain shows for good that the job's account is
-- closed, or that it never came to be and no transaction can make it any more (after slot `expiry`).
CREATE TABLE IF NOT EXISTS gateway.credit_use (
    job         bytea PRIMARY KEY CHECK (length(job) = 32),
    owner       bytea NOT NULL CHECK (length(owner) = 32),
    fees        bigint NOT NULL DEFAULT 0 CHECK (fees >= 0),
    rent        bigint NOT NULL DEFAULT 0 CHECK (rent >= 0),
    expiry      bigint NOT NULL,
    at          timestamptz NOT NULL DEFAULT now(),
    next_look   timestamptz NOT NULL DEFAULT now(),
    returned_at timestamptz
);
CREATE INDEX IF NOT EXISTS credit_use_out ON gateway.credit_use (next_look, job) WHERE rent > 0 AND returned_at IS NULL;
CREATE INDEX IF NOT EXISTS credit_use_at ON gateway.credit_use (at);
