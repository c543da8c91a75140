-- Of the value of the results among the newest hundred jobs, which part can't be contested any more: the window passed, a jury decided, or a
-- fault was proved? A result's value is the most that it could cost.
SELECT count(*) AS results, sum(ceiling_lamports) AS value_lamports,
       sum(ceiling_lamports) FILTER (WHERE end_reason IN ('claimed', 'not_guilty', 'guilty', 'fault')) AS verified_lamports
FROM (SELECT ceiling_lamports, end_reason, submitted_slot FROM analytics.jobs_processed ORDER BY requested_slot DESC, id_key LIMIT 100) newest
WHERE submitted_slot IS NOT NULL;
