-- Which epochs of a lease have no proof, from the one after its start to its end, or to the newest proof while it runs? Here of the newest lease that
-- was started.
WITH l AS (SELECT id_key, started_slot / epoch_slots AS first, COALESCE(ended_slot / epoch_slots, last_proved_epoch) AS last
             FROM analytics.leases_finalized WHERE started_slot IS NOT NULL ORDER BY accepted_slot DESC, id_key DESC LIMIT 1)
SELECT e.epoch FROM l CROSS JOIN LATERAL generate_series(l.first + 1, l.last) e(epoch)
WHERE NOT EXISTS (SELECT FROM analytics.lease_epochs_finalized p WHERE p.lease_key = l.id_key AND p.epoch = e.epoch AND p.proved)
ORDER BY 1;
