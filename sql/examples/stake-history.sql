-- How did the stake of a validator change? Here of the one with the most stake. (by index)
SELECT slot, at, stake_lamports, activating_lamports, unbonding_lamports, stake_change_lamports
FROM analytics.validator_stake_finalized
WHERE validator_key = (SELECT id_key FROM analytics.validators_finalized ORDER BY stake_lamports DESC, id_key LIMIT 1)
ORDER BY slot, ordinal;
