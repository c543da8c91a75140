-- The promise, checked: no finalized case of which not all lamports that went in, bonds and slash, came out again. Returns no rows.
SELECT id, submitter, bonds_lamports, slashed_lamports, claimants_lamports, jurors_lamports, submitter_lamports, prover_lamports, burned_lamports
FROM analytics.cases_finalized
WHERE bonds_lamports + slashed_lamports
      <> claimants_lamports + jurors_lamports + submitter_lamports + prover_lamports + burned_lamports;
