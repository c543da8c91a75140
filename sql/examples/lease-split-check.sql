-- The promise, checked: no lease whose lamports are not all accounted for, and no paid epoch whose parts do not sum to what it cost. Returns no rows.
SELECT id AS lease, NULL::bigint AS epoch, astray_lamports FROM analytics.leases_finalized WHERE astray_lamports <> 0
UNION ALL
SELECT lease, epoch, amount_lamports - provider_lamports - foundation_lamports - burned_lamports - refunded_lamports
FROM analytics.lease_epochs_finalized
WHERE amount_lamports <> provider_lamports + foundation_lamports + burned_lamports + refunded_lamports;
