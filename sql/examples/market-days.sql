-- How much was leased, day by day, and what was paid, burned and refunded?
SELECT day, requests, leases_accepted, leases_ended, epochs_proved, disputes, paid_lamports, foundation_lamports, burned_lamports, refunded_lamports
FROM analytics.market_daily
ORDER BY day DESC LIMIT 30;
