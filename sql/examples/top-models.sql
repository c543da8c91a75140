-- Which models earn most? From sums that are kept. (by index)
SELECT name, model, sum(jobs_settled + jobs_refunded + jobs_slashed) AS jobs, sum(output_tokens) AS output_tokens, sum(fee_lamports) AS fee_lamports
FROM analytics.model_daily
GROUP BY name, model ORDER BY fee_lamports DESC, model LIMIT 10;
