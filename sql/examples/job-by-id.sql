-- What became of a job? By its base58 address; here the newest one that ended. (by index)
SELECT id, status, end_reason, model, validator, owner, fee_lamports, refunded_lamports, transitions
FROM analytics.jobs_finalized
WHERE id = (SELECT job FROM analytics.settlements_finalized ORDER BY ended_slot DESC LIMIT 1);
