-- What did the validator with the most earnings earn, day by day, and what did it withdraw? (by index)
SELECT at::date AS day, max(earned_lamports) AS earned_lamports, sum(claimable_change_lamports) AS claimable_change_lamports
FROM analytics.validator_balances
WHERE validator_key = (SELECT id_key FROM analytics.validators_finalized ORDER BY earned_lamports DESC, id_key LIMIT 1)
GROUP BY 1 ORDER BY 1;
