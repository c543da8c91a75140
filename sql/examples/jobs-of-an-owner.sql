-- What did a wallet ask for, newest first? By its base58 key; here whoever asked last. (by index)
SELECT id, status, model, prompt_tokens, output_tokens, fee_lamports, requested_slot
FROM analytics.jobs_finalized
WHERE owner = (SELECT owner FROM analytics.jobs_finalized ORDER BY requested_slot DESC LIMIT 1)
ORDER BY requested_slot DESC LIMIT 20;
