-- Which jobs changed their state in a slot? Here the newest slot in which one ended. (by index)
SELECT job, status, at, signature
FROM analytics.job_events_finalized
WHERE slot = (SELECT slot FROM analytics.job_events_finalized ORDER BY slot DESC LIMIT 1)
ORDER BY job, step;
