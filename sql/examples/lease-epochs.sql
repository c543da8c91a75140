-- What became of each epoch of a lease that was metered? Here of the newest lease; those that its account has forgotten too.
SELECT epoch, status, proved, seconds, amount_lamports, provider_lamports, foundation_lamports, burned_lamports, refunded_lamports, metered_at, in_ring
FROM analytics.lease_epochs_finalized
WHERE lease_key = (SELECT id_key FROM analytics.leases_finalized ORDER BY accepted_slot DESC, id_key DESC LIMIT 1)
ORDER BY epoch;
