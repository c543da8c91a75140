-- How long does a job take, from the request to the money? Median and 95th percentile, in seconds and in slots.
SELECT count(*) AS jobs,
       percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM ended_at - requested_at)) AS seconds,
       percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY ended_slot - requested_slot) AS slots
FROM analytics.jobs_finalized
WHERE status = 'settled';
