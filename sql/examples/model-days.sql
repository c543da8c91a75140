-- What does each model earn, day by day? Over the last week of the chain, from sums that are kept. (by index)
SELECT day, name, model, jobs_requested, jobs_settled, output_tokens, fee_lamports, burned_lamports
FROM analytics.model_daily
WHERE day > (SELECT max(day) - 7 FROM analytics.network_daily_finalized)
ORDER BY day, fee_lamports DESC, model;
