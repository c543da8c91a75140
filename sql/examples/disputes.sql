-- Cases of the newest results that were challenged: who, how far, how it ended, and how many slots it took.
SELECT d.id, d.job, d.submitter, d.challenger, d.status, d.verdict, d.ground, d.claims, d.opened_positions, d.revealed_seats, d.jury_seats,
       d.bonds_lamports, d.slashed_lamports, d.resolved_slot - d.submitted_slot AS slots_from_answer_to_verdict
FROM analytics.cases_finalized d
ORDER BY d.opened_slot DESC LIMIT 20;
