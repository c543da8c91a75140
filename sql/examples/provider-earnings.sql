-- What did each provider earn with leases, and for how many epochs did it give a proof? Also where the index has not seen each of them.
SELECT provider, count(*) AS leases, sum(epochs_proved)::bigint AS epochs, sum(paid_lamports)::bigint AS earned_lamports
FROM analytics.leases_finalized
GROUP BY provider ORDER BY earned_lamports DESC, provider;
