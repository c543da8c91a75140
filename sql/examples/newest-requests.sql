-- What was asked for lately, and who took it?
SELECT r.id, r.status, r.kind, r.class_name, r.units, r.seconds, r.price_lamports AS most_lamports, l.provider, l.price_lamports, r.requested_at
FROM analytics.requests_finalized r LEFT JOIN analytics.leases_finalized l ON l.request_key = r.id_key
ORDER BY r.requested_slot DESC, r.id_key DESC LIMIT 20;
