-- What each validator earned and how fast it answers, over finalized jobs.
SELECT validator, count(*) AS jobs, sum(validator_lamports) AS earned_lamports,
       sum(output_tokens) AS output_tokens,
       round(avg(submitted_slot - accepted_slot), 1) AS slots_to_answer
FROM analytics.jobs_finalized
WHERE status = 'settled'
GROUP BY validator ORDER BY earned_lamports DESC;
