-- What was called on a job, by whom, and what failed? Here the newest one that ended. (by index)
SELECT slot, at, name, signer, success, error, error_message, accounts, arguments, fee_lamports, compute_units
FROM analytics.instruction_calls_finalized
WHERE job_key = (SELECT job_key FROM analytics.settlements_finalized ORDER BY ended_slot DESC LIMIT 1)
ORDER BY slot, transaction_index, instruction_index, inner_index NULLS FIRST;
