-- How many jobs were requested in the last hour of the chain, and how many are still open? (by index)
SELECT count(*) AS jobs, count(*) FILTER (WHERE ended_slot IS NULL) AS open
FROM analytics.jobs_processed
WHERE requested_slot >= analytics.slot_at((SELECT at FROM analytics.slots_processed WHERE at IS NOT NULL AND NOT gap
                                           ORDER BY at DESC LIMIT 1)
                                          - interval '1 hour');
