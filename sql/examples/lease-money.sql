-- Where are the lamports that tenants paid for leases, provider by provider? held_lamports lie in the leases' accounts.
SELECT provider, count(*) AS leases, sum(deposited_lamports)::bigint AS deposited_lamports, sum(compensated_lamports)::bigint AS compensated_lamports,
       sum(paid_lamports)::bigint AS paid_lamports, sum(foundation_lamports)::bigint AS foundation_lamports,
       sum(burned_lamports)::bigint AS burned_lamports, sum(refunded_lamports)::bigint AS refunded_lamports, sum(held_lamports)::bigint AS held_lamports
FROM analytics.leases_finalized
GROUP BY provider ORDER BY paid_lamports DESC, provider;
