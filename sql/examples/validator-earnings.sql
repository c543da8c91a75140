-- What did each validator earn, and how fast does it answer? Earnings from sums that are kept, speed over the last day of the chain.
SELECT d.validator, sum(d.jobs_settled) AS jobs, sum(d.validator_lamports) AS earned_lamports, sum(d.output_tokens) AS output_tokens,
       min(s.slots_to_answer) AS slots_to_answer
FROM analytics.validator_daily d LEFT JOIN (
     SELECT validator_key, round(avg(submitted_slot - accepted_slot), 1) AS slots_to_answer
     FROM analytics.jobs_finalized
     WHERE requested_slot >= analytics.slot_at((SELECT at FROM analytics.slots_finalized WHERE at IS NOT NULL AND NOT gap
                                                ORDER BY at DESC LIMIT 1) - interval '1 day')
     GROUP BY 1) s USING (validator_key)
GROUP BY d.validator ORDER BY earned_lamports DESC, d.validator;
