-- What an alarm is about, so that those that heal are cleared by the transaction that heals them, and what
-- cleared them. An open alarm that comes again (same kind and detail) counts up instead of making a row.

ALTER TABLE pipeline.alarm
    ADD COLUMN last_slot      bigint,
    ADD COLUMN count          bigint NOT NULL DEFAULT 1,
    ADD COLUMN newest_at      timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN banks          bigint[],
    ADD COLUMN clears_itself  boolean NOT NULL DEFAULT false,
    ADD COLUMN cleared_reason text;
UPDATE pipeline.alarm SET last_slot = slot, newest_at = at,
    clears_itself = kind IN ('gap', 'confirmed_fork', 'reconciliation');
CREATE INDEX alarm_open ON pipeline.alarm (kind, id) WHERE cleared_at IS NULL;
