-- Which validators lost stake, when, and who got it? (by index)
SELECT resolved_at, validator, slashed_lamports, challenger_reward_lamports, jurors_lamports, burned_lamports, ground, job
FROM analytics.slashes_finalized
ORDER BY resolved_slot DESC, dispute_key LIMIT 50;
