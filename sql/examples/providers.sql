-- Who leases out what, for how much, and how has it served? Those with units free first, the cheapest in front.
SELECT authority, class_name, region, isolation, price_lamports, units, free_units, leases, epochs_proved, epochs_missed, proofs_refuted, status
FROM analytics.providers_confirmed
ORDER BY free_units > 0 DESC, price_lamports, authority;
