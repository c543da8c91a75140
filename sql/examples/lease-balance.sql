-- In which blocks was a lease paid for, and what lay in it after each? Here of the newest lease that has ended.
SELECT slot, at, escrow_lamports, pending_lamports, tenant_due_lamports, paid_change_lamports, burned_change_lamports, refunded_change_lamports
FROM analytics.lease_balances
WHERE lease_key = (SELECT id_key FROM analytics.leases_finalized WHERE ended_slot IS NOT NULL ORDER BY ended_slot DESC, id_key DESC LIMIT 1)
ORDER BY slot;
