-- Which epochs of a lease have no proof, from the one after its start to its end, or to the newest proof while it runs? Here of the newest lease that
-- was started. Where the index has not seen all of its proofs (after a base), `sure` is false, and some of these have one.
WITH l AS (SELECT id_key, started_slot / epoch_slots AS first, COALESCE(ended_slot / epoch_slots, last_proved_epoch) AS last, epochs_proved
             FROM analytics.leases_finalized WHERE started_slot IS NOT NULL ORDER BY accepted_slot DESC, id_key DESC LIMIT 1),
     p AS MATERIALIZED (SELECT e.epoch FROM analytics.lease_epochs_finalized e WHERE e.lease_key = (SELECT id_key FROM l) AND e.proved)
SELECT e.epoch, (SELECT count(*) FROM p) IS NOT DISTINCT FROM l.epochs_proved AS sure
FROM l CROSS JOIN LATERAL generate_series(l.first + 1, l.last) e(epoch)
WHERE e.epoch NOT IN (SELECT p.epoch FROM p)
ORDER BY 1;
