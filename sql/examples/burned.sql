-- Lamports burned per day and reason.
SELECT at::date AS day, kind, sum(lamports) AS lamports
FROM analytics.burns_finalized
GROUP BY 1, 2 ORDER BY 1, 2;
