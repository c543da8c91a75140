-- Which transitions happened on a day, under Dune's names? Here the first day of the chain, by the hour.
SELECT date_trunc('hour', block_time) AS hour, event, count(*) AS events
FROM dune.job_events
WHERE block_date = (SELECT block_date FROM dune.blocks ORDER BY block_slot LIMIT 1)
GROUP BY 1, 2 ORDER BY 1, 2;
