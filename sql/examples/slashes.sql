-- The promise, checked: no finalized slash whose parts do not sum to it. Returns no rows.
SELECT dispute, validator, slashed_lamports, challenger_reward_lamports, jurors_lamports, burned_lamports
FROM analytics.slashes_finalized
WHERE slashed_lamports <> challenger_reward_lamports + jurors_lamports + burned_lamports;
