-- Accounts whose content can't be read are rows of the projection's table `unreadable`: they follow forks and commitment.
DO $move$
BEGIN
    EXECUTE format('INSERT INTO %1$I.unreadable (bank, slot, ordinal, write_seq, exact, pubkey, reason)
        SELECT 0, slot, 2147483647, 0, true, pubkey, reason FROM pipeline.quarantine ON CONFLICT DO NOTHING',
        (SELECT projection FROM pipeline.lease));
END $move$;
DROP TABLE pipeline.quarantine;
