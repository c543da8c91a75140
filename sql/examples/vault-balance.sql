-- How did the balance of a vault move? Here of the one that spent most. (by index)
SELECT slot, at, balance_lamports, held_lamports, spent_lamports, balance_change_lamports
FROM analytics.vault_balances
WHERE vault_key = (SELECT id_key FROM analytics.vaults_finalized ORDER BY spent_lamports DESC, id_key LIMIT 1)
ORDER BY slot;
