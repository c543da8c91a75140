-- Who claims what against results, what did it cost them, what did they get? By claimant, what they said and whether it was right.
SELECT claimant, claim_kind, outcome, count(*) AS claims, sum(bond_lamports) AS bonds_lamports, sum(amount_lamports - bond_lamports) AS profit_lamports
FROM analytics.claims_finalized
WHERE amount_lamports IS NOT NULL
GROUP BY 1, 2, 3 ORDER BY profit_lamports DESC, claimant, claim_kind LIMIT 50;
