-- What did the network do in the last 30 days? Kept sums: the cost does not grow with the jobs. (by index)
SELECT day, jobs_requested, jobs_settled, jobs_refunded, jobs_slashed, owners, validators, output_tokens, fee_lamports, burned_lamports
FROM analytics.network_daily_finalized
ORDER BY day DESC LIMIT 30;
