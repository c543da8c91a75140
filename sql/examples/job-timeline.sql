-- The life of the newest ten jobs: each transition with its time, commitment and transaction.
SELECT e.job, e.status, e.slot, e.at, e.commitment, e.signature
FROM (SELECT id_key, requested_slot FROM analytics.jobs_processed ORDER BY requested_slot DESC, id_key LIMIT 10) j
JOIN analytics.job_events_processed e ON e.job_key = j.id_key AND e.requested_slot = j.requested_slot
ORDER BY e.requested_slot DESC, e.job, e.step;
