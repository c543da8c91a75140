-- How do cases end, and who pays? By verdict and by what decided it.
SELECT verdict, ground, count(*) AS cases, sum(claims) AS claims, sum(slashed_lamports) AS slashed_lamports, sum(reward_lamports) AS reward_lamports,
       sum(jurors_lamports) AS jurors_lamports, sum(burned_lamports) AS burned_lamports, round(avg(resolved_slot - opened_slot), 1) AS slots_to_verdict
FROM analytics.cases_finalized
WHERE status = 'resolved'
GROUP BY 1, 2 ORDER BY cases DESC;
