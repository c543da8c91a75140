-- Who sends most transactions to the program, how many of them fail, and what do they pay in fees? Over the last day of the chain.
SELECT analytics.base58(signer_key) AS signer, count(*) AS transactions, count(*) FILTER (WHERE NOT success) AS failed,
       sum(fee_lamports) AS fee_lamports
FROM analytics.transactions_finalized
WHERE slot >= analytics.slot_at((SELECT at FROM analytics.slots_finalized WHERE at IS NOT NULL AND NOT gap
                                 ORDER BY at DESC LIMIT 1) - interval '1 day')
GROUP BY signer_key ORDER BY transactions DESC, signer LIMIT 20;
