-- How much has the foundation received and withdrawn, day by day? (by index)
SELECT at::date AS day, max(received_lamports) AS received_lamports, max(withdrawn_lamports) AS withdrawn_lamports,
       sum(balance_change_lamports) AS balance_change_lamports
FROM analytics.treasury_balances
GROUP BY 1 ORDER BY 1;
