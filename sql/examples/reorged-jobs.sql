-- Which jobs did forks undo, how far had they come, and what became of them? (by index)
SELECT slot, blockhash, job, status AS status_undone, status_finalized
FROM analytics.reorged_jobs
ORDER BY slot DESC LIMIT 50;
