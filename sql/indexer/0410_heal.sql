-- What an operator asks the indexer that holds the lease to do: compare all rows with the accounts that an RPC shows at finality.
CREATE TABLE pipeline.heal_request (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    requested_at timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    rpc_url      text,
    state        text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'reading', 'linking', 'writing', 'done', 'failed')),
    slot         bigint,
    detail       text,
    changed_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX heal_request_open ON pipeline.heal_request (id) WHERE state NOT IN ('done', 'failed');
COMMENT ON TABLE pipeline.heal_request IS 'Gaps that an operator asked to be healed from an RPC; served by the indexer that holds the lease';
COMMENT ON COLUMN pipeline.heal_request.rpc_url IS 'Whom to ask; null: heal_rpc_url of the indexer that serves it. Forgotten when it ends: a URL may hold a key';
COMMENT ON COLUMN pipeline.heal_request.state IS
    'waiting: nobody has taken it; reading: the accounts are read; linking: the root has to reach the slot they were read at; writing: rows are compared; done; failed';
COMMENT ON COLUMN pipeline.heal_request.slot IS 'Slot whose state the rows were compared with; null before it is known';
COMMENT ON COLUMN pipeline.heal_request.detail IS 'What it waits for, or how it ended';
