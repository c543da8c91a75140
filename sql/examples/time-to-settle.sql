-- How long does a job take, from the request to the money? Median and 95th percentile, in seconds and in slots, over the last day of
-- the chain.
SELECT count(*) AS jobs,
       percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM ended_at - requested_at)) AS seconds,
       percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY ended_slot - requested_slot) AS slots
FROM analytics.jobs_finalized
WHERE status = 'settled'
  AND ended_slot >= analytics.slot_at((SELECT at FROM analytics.slots_finalized WHERE at IS NOT NULL AND NOT gap
                                       ORDER BY at DESC LIMIT 1) - interval '1 day');
