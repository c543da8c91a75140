-- When an API key last paid, so that those that nobody uses have an end; and the signatures of wallets that were used up, for all gateways
-- that share this database. Applied by the gateway at start; every statement may run again.

ALTER TABLE gateway.api_key ADD COLUMN IF NOT EXISTS used_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX IF NOT EXISTS api_key_used ON gateway.api_key (used_at);

CREATE TABLE IF NOT EXISTS gateway.spent_signature (
    hash bytea PRIMARY KEY CHECK (length(hash) = 32),
    at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS spent_signature_at ON gateway.spent_signature (at);
