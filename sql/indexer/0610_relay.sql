-- Brokers acknowledge before their disks have it. The relay of the feed remembers how far their logs reached, so that it finds out
-- when they have lost something, and from where on it is sent again.
ALTER TABLE pipeline.relay
    ADD COLUMN ends      bigint[] NOT NULL DEFAULT '{}',
    ADD COLUMN held_seq  bigint,
    ADD COLUMN held_ends bigint[] NOT NULL DEFAULT '{}';
UPDATE pipeline.relay SET held_seq = seq;
ALTER TABLE pipeline.relay ALTER COLUMN held_seq SET NOT NULL;
COMMENT ON COLUMN pipeline.relay.ends IS 'For each partition the offset behind the newest message that was acknowledged; empty where that is not known';
COMMENT ON COLUMN pipeline.relay.held_seq IS 'What seq was a minute ago: events after it are sent again when the brokers lose some';
COMMENT ON COLUMN pipeline.relay.held_ends IS 'What ends was then';
