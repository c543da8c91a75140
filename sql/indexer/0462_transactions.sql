-- Transactions of older spans go into files with their events.
ALTER TABLE archive.transactions SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE archive.transactions IS
    'The transactions of a bank that call our program; event: the number of an event of kind 12, in archive.event or archive.pack. Those of older spans are in files';
