-- What the settler found when it last compared the index with the chain. One row, shown by the gateway's /health.

CREATE SCHEMA IF NOT EXISTS settler;
CREATE TABLE settler.reconciliation (
    only_row        boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    ok              boolean NOT NULL,
    context_slot    bigint NOT NULL,
    accounts        bigint NOT NULL,
    differing       bigint NOT NULL,
    confirmed       bigint NOT NULL,
    unbacked        bigint NOT NULL,
    inexact         bigint NOT NULL,
    stored_on_chain jsonb NOT NULL,
    stored_in_index jsonb NOT NULL,
    details         jsonb NOT NULL,
    checked_at      timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE settler.reconciliation IS 'The last comparison of the index with the chain at a finalized slot';
COMMENT ON COLUMN settler.reconciliation.ok IS 'No account differs twice in a row, and every account holds rent and what it stores';
COMMENT ON COLUMN settler.reconciliation.context_slot IS 'Finalized slot at which the chain was read';
COMMENT ON COLUMN settler.reconciliation.accounts IS 'Accounts compared';
COMMENT ON COLUMN settler.reconciliation.differing IS 'Accounts that differ in this comparison; most are seen between two writes and agree in the next';
COMMENT ON COLUMN settler.reconciliation.confirmed IS 'Accounts that differ in the same way as in the comparison before: an alarm';
COMMENT ON COLUMN settler.reconciliation.unbacked IS 'Accounts with fewer lamports than rent and stored amounts';
COMMENT ON COLUMN settler.reconciliation.inexact IS 'Accounts left out because a gap may have hidden writes of them';
COMMENT ON COLUMN settler.reconciliation.stored_on_chain IS 'Lamports that accounts store, by kind';

DO $role$
BEGIN
    GRANT USAGE ON SCHEMA settler TO mythic_reader;
    GRANT SELECT ON settler.reconciliation TO mythic_reader;
EXCEPTION WHEN insufficient_privilege OR undefined_object THEN
    RAISE NOTICE 'the read-only role mythic_reader was not granted schema settler';
END $role$;
