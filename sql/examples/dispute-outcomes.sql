-- How do disputes end, and who pays? By verdict and by what decided it.
SELECT verdict, ground, count(*) AS disputes, sum(slashed_lamports) AS slashed_lamports, sum(challenger_lamports) AS challenger_lamports,
       round(avg(resolved_slot - opened_slot), 1) AS slots_to_verdict
FROM analytics.disputes_finalized
WHERE status = 'resolved'
GROUP BY 1, 2 ORDER BY disputes DESC;
