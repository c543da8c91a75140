-- What did each provider earn with leases, for how many epochs, and for how many seconds?
SELECT provider, count(*) AS epochs, sum(seconds)::bigint AS seconds, sum(provider_lamports)::bigint AS earned_lamports
FROM analytics.lease_epochs_finalized
WHERE status = 'released'
GROUP BY provider ORDER BY earned_lamports DESC, provider;
