-- What the gateway keeps: API keys, requests with their attempts, prompts of open jobs. None of it can be derived from
-- the chain, so a rebuild never touches this schema. Applied by the gateway at start; every statement may run again.

CREATE SCHEMA IF NOT EXISTS gateway;

-- An API key of a wallet. Of the key only the SHA-256 is kept; the delegate's secret is encrypted under the master key file.
CREATE TABLE IF NOT EXISTS gateway.api_key (
    id           text PRIMARY KEY,
    hash         bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
    owner        bytea NOT NULL CHECK (length(owner) = 32),
    delegate     bytea NOT NULL CHECK (length(delegate) = 32),
    sealed       bytea NOT NULL,
    name         text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    revoked_at   timestamptz
);
CREATE INDEX IF NOT EXISTS api_key_owner ON gateway.api_key (owner, created_at);

-- One request that makes jobs. Written before anything is sent; `answer` or `error` is what a repeat is given.
CREATE TABLE IF NOT EXISTS gateway.request (
    id              text PRIMARY KEY,
    key_id          text NOT NULL,
    idempotency_key text,
    body_hash       bytea NOT NULL,
    state           text NOT NULL CHECK (state IN ('running', 'done', 'failed')),
    choices         integer NOT NULL,
    model           text NOT NULL,
    logprobs        boolean NOT NULL,
    answer          jsonb,
    error           jsonb,
    created_at      timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz
);
CREATE UNIQUE INDEX IF NOT EXISTS request_idempotency ON gateway.request (key_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX IF NOT EXISTS request_body ON gateway.request (key_id, body_hash, created_at DESC);
CREATE INDEX IF NOT EXISTS request_running ON gateway.request (id) WHERE state = 'running';
CREATE INDEX IF NOT EXISTS request_created ON gateway.request (created_at);

-- One job address that a request may use. Several validators may be asked under one address: only one transaction can land.
-- state: sent (may land), accepted (a validator has it), done (its answer is kept), open (anyone may take it),
-- abandoned (to be cancelled), closed (nothing more can happen to it that concerns the gateway).
CREATE TABLE IF NOT EXISTS gateway.attempt (
    job               bytea PRIMARY KEY CHECK (length(job) = 32),
    request_id        text NOT NULL REFERENCES gateway.request (id) ON DELETE CASCADE,
    choice            integer NOT NULL,
    attempt           integer NOT NULL,
    nonce             bytea NOT NULL CHECK (length(nonce) = 16),
    owner             bytea NOT NULL,
    requester         bytea NOT NULL,
    model             bytea NOT NULL,
    prompt_hash       bytea NOT NULL,
    prompt_tokens     bigint NOT NULL,
    max_output_tokens bigint NOT NULL,
    price_in          bigint NOT NULL,
    price_out         bigint NOT NULL,
    ceiling_lamports  bigint NOT NULL,
    arguments         bytea NOT NULL,
    stop              text[] NOT NULL,
    validators        bytea[] NOT NULL DEFAULT '{}',
    client_paid       boolean NOT NULL DEFAULT false,
    state             text NOT NULL CHECK (state IN ('sent', 'accepted', 'done', 'open', 'abandoned', 'closed')),
    signature         text,
    answer            jsonb,
    evidence          jsonb,
    created_at        timestamptz NOT NULL DEFAULT now(),
    finished_at       timestamptz
);
CREATE INDEX IF NOT EXISTS attempt_request ON gateway.attempt (request_id, choice, attempt);
CREATE INDEX IF NOT EXISTS attempt_unfinished ON gateway.attempt (state) WHERE state IN ('sent', 'accepted', 'open', 'abandoned');
CREATE INDEX IF NOT EXISTS attempt_answered ON gateway.attempt (finished_at) WHERE answer IS NOT NULL;

-- Prompts of open jobs, for the operator that accepts one.
CREATE TABLE IF NOT EXISTS gateway.prompt (
    job         bytea PRIMARY KEY REFERENCES gateway.attempt (job) ON DELETE CASCADE,
    prompt_hash bytea NOT NULL,
    ids         bytea NOT NULL,
    salt        bytea NOT NULL CHECK (length(salt) = 16)
);
CREATE INDEX IF NOT EXISTS prompt_hash ON gateway.prompt (prompt_hash);
