-- Which validators earned most in the last 30 days of the chain, and what were they slashed? From sums that are kept. (by index)
SELECT validator, sum(jobs_requested) AS jobs, sum(jobs_settled) AS settled, sum(output_tokens) AS output_tokens,
       sum(validator_lamports) AS earned_lamports, sum(slashed_lamports) AS slashed_lamports
FROM analytics.validator_daily
WHERE day > (SELECT max(day) - 30 FROM analytics.network_daily_finalized)
GROUP BY validator ORDER BY earned_lamports DESC, validator LIMIT 20;
