-- How many lamports were burned, by day and reason?
SELECT block_date, kind, sum(burned_lamports) AS burned_lamports
FROM dune.burns
GROUP BY 1, 2 ORDER BY 1, 2;
