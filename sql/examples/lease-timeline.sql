-- The life of the newest lease: each thing that happened, with its time, commitment and transaction.
SELECT e.event, e.epoch, e.detail, e.slot, e.at, e.commitment, e.signature
FROM analytics.lease_events_processed e
WHERE e.lease_key = (SELECT id_key FROM analytics.leases_processed ORDER BY accepted_slot DESC, id_key DESC LIMIT 1)
ORDER BY e.slot, e.step;
