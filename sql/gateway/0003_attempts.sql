-- Several gateways on one database: each shows signs of life here, and what a dead one has left is taken over by one other.
CREATE TABLE IF NOT EXISTS gateway.instance (
    id         text PRIMARY KEY,
    started_at timestamptz NOT NULL DEFAULT now(),
    beat_at    timestamptz NOT NULL DEFAULT now()
);
-- The gateway that runs a request; one that is not in gateway.instance is dead.
ALTER TABLE gateway.request ADD COLUMN IF NOT EXISTS instance text;

-- Attempts are looked at when `next_look` has come; `looks` counts since the state changed and stretches the pause.
ALTER TABLE gateway.attempt ADD COLUMN IF NOT EXISTS next_look timestamptz NOT NULL DEFAULT now();
ALTER TABLE gateway.attempt ADD COLUMN IF NOT EXISTS looks integer NOT NULL DEFAULT 0;

-- States since then also: unconfirmed (answered, but its result was not seen on chain), answered (its result was seen, and is not
-- final yet), unpaid (answered, and the chain will never pay for it). done = its result is final.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = 'gateway.attempt'::regclass AND conname = 'attempt_states') THEN
        ALTER TABLE gateway.attempt DROP CONSTRAINT IF EXISTS attempt_state_check;
        ALTER TABLE gateway.attempt ADD CONSTRAINT attempt_states CHECK
            (state IN ('sent', 'accepted', 'open', 'unconfirmed', 'answered', 'done', 'unpaid', 'abandoned', 'closed'));
    END IF;
END
$$;
CREATE INDEX IF NOT EXISTS attempt_due ON gateway.attempt (next_look, job) WHERE state IN ('open', 'abandoned', 'unconfirmed', 'answered');

-- Fees that the gateway paid for a wallet's jobs in a day (UTC of the database's clock), and how many jobs. Kept for a week.
CREATE TABLE IF NOT EXISTS gateway.outlay (
    day   date NOT NULL,
    owner bytea NOT NULL CHECK (length(owner) = 32),
    jobs  integer NOT NULL,
    fees  bigint NOT NULL,
    PRIMARY KEY (day, owner)
);
CREATE INDEX IF NOT EXISTS attempt_owner ON gateway.attempt (owner, created_at);
