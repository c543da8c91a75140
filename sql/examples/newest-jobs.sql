-- What are the newest jobs, unfinished blocks included? (by index)
SELECT id, status, commitment, model, requested_slot, requested_at
FROM analytics.jobs_processed
ORDER BY requested_slot DESC LIMIT 20;
