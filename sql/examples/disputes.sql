-- Disputes of the newest jobs that were challenged: who, how far, how it ended, and how many slots it took.
SELECT d.id, d.job, d.challenger, d.submitter, d.status, d.verdict, d.ground, d.opened_positions, d.revealed_seats, d.jury_seats,
       d.bond_lamports, d.slashed_lamports, d.resolved_slot - d.submitted_slot AS slots_from_answer_to_verdict
FROM analytics.disputes_finalized d
ORDER BY d.opened_slot DESC LIMIT 20;
