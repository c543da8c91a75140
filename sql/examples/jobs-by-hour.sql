-- How many jobs ended in each of the last 24 hours, and what they paid.
SELECT date_trunc('hour', ended_at) AS hour, status, count(*) AS jobs,
       sum(fee_lamports) AS fee_lamports, sum(burned_lamports) AS burned_lamports
FROM analytics.settlements_finalized
WHERE ended_slot >= (SELECT max(slot) - 216000 FROM analytics.slots_finalized)
  AND ended_at > now() - interval '24 hours'
GROUP BY 1, 2 ORDER BY 1, 2;
