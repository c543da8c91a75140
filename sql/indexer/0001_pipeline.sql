-- What the indexer needs to write exactly once: schemas, the lease that fences stale writers, read
-- positions, and the places where input that can't be projected goes. Nothing here is for analysts.

CREATE SCHEMA IF NOT EXISTS pipeline;
CREATE SCHEMA archive;
CREATE SCHEMA feed;
CREATE SCHEMA analytics;

-- One row. `epoch` rises whenever an indexer takes over; every batch locks the row and checks it.
-- `projection` names the schema that holds the projected tables (a rebuild swaps it).
CREATE TABLE pipeline.lease (
    only_row     boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch        bigint NOT NULL DEFAULT 0,
    holder       text NOT NULL DEFAULT '',
    backend_pid  integer NOT NULL DEFAULT 0,
    projection   text NOT NULL,
    renewed_at   timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 50);
INSERT INTO pipeline.lease (projection) VALUES ('projection_1');

-- The chain this database belongs to; another genesis refuses to start.
CREATE TABLE pipeline.chain (
    only_row      boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    genesis_hash  bytea NOT NULL,
    first_seen_at timestamptz NOT NULL DEFAULT now()
);

-- Where each producer's log is read from after a restart, and how far it has been applied.
-- Positions compare by (segment, byte_offset): every run of a producer opens a new segment.
CREATE TABLE pipeline.position (
    producer        text NOT NULL,
    partition       integer NOT NULL DEFAULT 0,
    resume_run      bytea NOT NULL,
    resume_segment  bigint NOT NULL,
    resume_offset   bigint NOT NULL,
    resume_seq      bigint NOT NULL,
    applied_run     bytea NOT NULL,
    applied_segment bigint NOT NULL,
    applied_offset  bigint NOT NULL,
    applied_seq     bigint NOT NULL,
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (producer, partition)
) WITH (fillfactor = 50);

-- Account content that could not be projected. The bytes stay in the archive.
CREATE TABLE pipeline.dead_letter (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    bank     bigint NOT NULL,
    slot     bigint NOT NULL,
    ordinal  integer NOT NULL,
    pubkey   bytea NOT NULL,
    reason   text NOT NULL,
    at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX dead_letter_pubkey ON pipeline.dead_letter (pubkey);

-- Accounts whose newest content could not be projected: their rows are stale until a valid update.
CREATE TABLE pipeline.quarantine (
    pubkey  bytea PRIMARY KEY,
    slot    bigint NOT NULL,
    reason  text NOT NULL,
    at      timestamptz NOT NULL DEFAULT now()
);

-- Things an operator must look at: two producers that disagree, a broken reconciliation.
CREATE TABLE pipeline.alarm (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind    text NOT NULL,
    slot    bigint,
    detail  text NOT NULL,
    at      timestamptz NOT NULL DEFAULT now(),
    cleared_at timestamptz
);

-- Base58 text of a key. Bytes are folded into one number, split into base-58^5 digits, then printed.
CREATE FUNCTION analytics.base58(key bytea) RETURNS text
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    alphabet CONSTANT text := '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
    len  CONSTANT int := length(key);
    n    numeric := 0;
    high numeric;
    part bigint;
    zeros int := 0;
    i    int := 0;
    out  text := '';
BEGIN
    WHILE zeros < len AND get_byte(key, zeros) = 0 LOOP zeros := zeros + 1; END LOOP;
    i := zeros;
    WHILE i < len LOOP
        IF i + 4 <= len THEN
            n := n * 4294967296 + ((get_byte(key, i)::bigint << 24) | (get_byte(key, i + 1) << 16)
                 | (get_byte(key, i + 2) << 8) | get_byte(key, i + 3));
            i := i + 4;
        ELSE
            n := n * 256 + get_byte(key, i);
            i := i + 1;
        END IF;
    END LOOP;
    WHILE n > 0 LOOP
        high := div(n, 656356768);
        part := (n - high * 656356768)::bigint;
        n := high;
        FOR digit IN 1..5 LOOP
            EXIT WHEN n = 0 AND part = 0;
            out := substr(alphabet, (part % 58)::int + 1, 1) || out;
            part := part / 58;
        END LOOP;
    END LOOP;
    RETURN repeat('1', zeros) || out;
END $$;
COMMENT ON FUNCTION analytics.base58(bytea) IS 'Base58 text of a key';

-- The bytes of a base58 key (32 bytes unless told otherwise); null if it is not one.
CREATE FUNCTION analytics.key(base58 text, size int DEFAULT 32) RETURNS bytea
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    alphabet CONSTANT text := '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
    n     numeric := 0;
    high  numeric;
    digit int;
    out   bytea := decode(repeat('00', size), 'hex');
BEGIN
    IF length(base58) > 128 OR size > 64 THEN RETURN NULL; END IF;
    FOR i IN 1..length(base58) LOOP
        digit := strpos(alphabet, substr(base58, i, 1));
        IF digit = 0 THEN RETURN NULL; END IF;
        n := n * 58 + (digit - 1);
    END LOOP;
    FOR i IN REVERSE size - 1..0 LOOP
        high := div(n, 256);
        out := set_byte(out, i, (n - high * 256)::int);
        n := high;
    END LOOP;
    IF n <> 0 THEN RETURN NULL; END IF;
    RETURN out;
END $$;
COMMENT ON FUNCTION analytics.key(text, int) IS
    'Bytes of a base58 key, to filter by the indexed …_key columns: WHERE id_key = analytics.key(''…'')';
