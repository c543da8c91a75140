-- Transactions that call our program, of the banks that have some: what calls are projected from. One row an event of kind 12, which
-- names the bank by slot and blockhash. The body is a sequence of TransactionUpdate messages, each behind its length, of the stream's
-- envelope.proto; PostgreSQL compresses it. Of a sealed bank (kind 3) `detail` says that its transactions are streamed.
CREATE TABLE archive.transactions (
    event bigint PRIMARY KEY,
    slot  bigint NOT NULL,
    body  bytea NOT NULL
);
CREATE INDEX transactions_slot ON archive.transactions USING brin (slot);
COMMENT ON TABLE archive.transactions IS 'The transactions of a bank that call our program; event = archive.event.id of kind 12';
