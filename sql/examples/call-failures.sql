-- How often does each instruction fail, and with what error? Over the last day of the chain.
SELECT name, error, count(*) AS calls, round(100.0 * count(*) / sum(count(*)) OVER (PARTITION BY name), 2) AS percent
FROM analytics.instruction_calls_finalized
WHERE slot >= analytics.slot_at((SELECT at FROM analytics.slots_finalized WHERE at IS NOT NULL AND NOT gap
                                 ORDER BY at DESC LIMIT 1) - interval '1 day')
GROUP BY name, success, error ORDER BY name, calls DESC, error;
