-- The promise, checked: no finalized settlement whose parts do not sum to its fee, or whose fee and refund
-- do not sum to its ceiling. Returns no rows.
SELECT job, fee_lamports, validator_lamports, foundation_lamports, burned_lamports, refunded_lamports, ceiling_lamports
FROM analytics.settlements_finalized
WHERE fee_lamports <> validator_lamports + foundation_lamports + burned_lamports
   OR ceiling_lamports <> fee_lamports + refunded_lamports;
