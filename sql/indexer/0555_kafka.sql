-- What an index that reads from Kafka, or passes its feed on to Kafka, remembers between two lives.

-- Moved with pipeline.position, in the transaction that writes what was read.
CREATE TABLE pipeline.kafka_position (
    topic       text NOT NULL,
    partition   integer NOT NULL,
    next_offset bigint NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);
COMMENT ON TABLE pipeline.kafka_position IS
    'From where each partition of the topic of updates is read after a restart; records before pipeline.position are passed over';
COMMENT ON COLUMN pipeline.kafka_position.topic IS 'Name of the topic';
COMMENT ON COLUMN pipeline.kafka_position.partition IS 'Number of the partition, from 0';
COMMENT ON COLUMN pipeline.kafka_position.next_offset IS 'Offset of the first message that may be needed';
COMMENT ON COLUMN pipeline.kafka_position.updated_at IS 'When it was moved';

CREATE TABLE pipeline.kafka_past (
    topic    text NOT NULL,
    run      bytea NOT NULL,
    station  integer NOT NULL,
    segment  bigint NOT NULL,
    next_seq bigint NOT NULL,
    PRIMARY KEY (topic, run)
);
COMMENT ON TABLE pipeline.kafka_past IS
    'Runs of producers that are over, the newest 64: what is met again of them is a repeat, not a new run';
COMMENT ON COLUMN pipeline.kafka_past.topic IS 'Name of the topic';
COMMENT ON COLUMN pipeline.kafka_past.run IS 'The run, 16 bytes';
COMMENT ON COLUMN pipeline.kafka_past.station IS 'Number of the producer that it was a life of, from 0';
COMMENT ON COLUMN pipeline.kafka_past.segment IS 'Its place among all runs, see pipeline.position';
COMMENT ON COLUMN pipeline.kafka_past.next_seq IS 'The number that its next record would have had';

CREATE TABLE pipeline.kafka_letter (
    topic     text NOT NULL,
    partition integer NOT NULL,
    "offset"  bigint NOT NULL,
    reason    text NOT NULL,
    length    bigint NOT NULL,
    bytes     bytea NOT NULL,
    at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition, "offset")
);
CREATE INDEX kafka_letter_at ON pipeline.kafka_letter (at);
COMMENT ON TABLE pipeline.kafka_letter IS
    'Messages of the topic of updates that are no records: whoever may write to a topic may write anything';
COMMENT ON COLUMN pipeline.kafka_letter.topic IS 'Name of the topic';
COMMENT ON COLUMN pipeline.kafka_letter.partition IS 'Number of the partition';
COMMENT ON COLUMN pipeline.kafka_letter."offset" IS 'Place in the partition';
COMMENT ON COLUMN pipeline.kafka_letter.reason IS 'Why it is no record';
COMMENT ON COLUMN pipeline.kafka_letter.length IS 'Length of the message in bytes';
COMMENT ON COLUMN pipeline.kafka_letter.bytes IS 'Its first 64 KiB';
COMMENT ON COLUMN pipeline.kafka_letter.at IS 'When it was read';

CREATE TABLE pipeline.relay (
    topic      text PRIMARY KEY,
    seq        bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
COMMENT ON TABLE pipeline.relay IS 'How far the feed is in a topic of Kafka';
COMMENT ON COLUMN pipeline.relay.topic IS 'Name of the topic';
COMMENT ON COLUMN pipeline.relay.seq IS 'Number of the newest event before which the brokers have acknowledged all';
COMMENT ON COLUMN pipeline.relay.updated_at IS 'When it was moved';
