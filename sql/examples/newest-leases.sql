-- What are the newest leases, unfinished blocks included, and where does each stand?
SELECT id, status, reason, tenant, provider, class_name, units, price_lamports, epochs_proved, epochs_missed, ends_at, commitment
FROM analytics.leases_processed
ORDER BY accepted_slot DESC, id_key DESC LIMIT 20;
