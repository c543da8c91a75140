-- Where the index stands, and whether anything is missing from it.
SELECT processed_slot, confirmed_slot, finalized_slot, now() - committed_at AS age, gaps_open, dead_letters, quarantined
FROM analytics.pipeline_status;
