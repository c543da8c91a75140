-- Both programs are compared, and whether amounts add up: a lease's lamports to what they are for, a provider's stake and earnings, a
-- request's price, a dispute's bond and what a treasury received to what became of them.
ALTER TABLE settler.reconciliation ADD COLUMN unbalanced bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN settler.reconciliation.unbalanced IS
    'Accounts whose amounts do not add up to what came in, closed leases among them: an alarm';
COMMENT ON COLUMN settler.reconciliation.ok IS
    'No account differs twice in a row, every account holds rent and what it stores, and all amounts add up';
COMMENT ON COLUMN settler.reconciliation.context_slot IS 'Finalized slot at which the chain was read; the older one where its programs were read in two';
