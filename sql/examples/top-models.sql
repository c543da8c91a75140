-- Which models earn most?
SELECT m.name, j.model, count(*) AS jobs, sum(j.output_tokens) AS output_tokens, sum(j.fee_lamports) AS fee_lamports
FROM analytics.settlements_finalized j JOIN analytics.models_finalized m ON m.id = j.model
GROUP BY 1, 2 ORDER BY fee_lamports DESC, j.model LIMIT 10;
