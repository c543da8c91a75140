-- How many lamports were burned, by day and reason? From sums that are kept. (by index)
SELECT day, kind, burned_lamports
FROM analytics.burned_daily
ORDER BY day, kind;
