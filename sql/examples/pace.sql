-- How many jobs a minute were requested in the last ten minutes of the chain, and how many tokens a second did their answers have? (by index)
SELECT count(*) / 10.0 AS jobs_a_minute, COALESCE(sum(output_tokens), 0) / 600.0 AS tokens_a_second
FROM analytics.jobs_processed
WHERE requested_slot >= analytics.slot_at((SELECT at FROM analytics.slots_processed WHERE at IS NOT NULL AND NOT gap
                                           ORDER BY at DESC LIMIT 1) - interval '10 minutes');
