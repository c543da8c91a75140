-- Payments are looked for by their transaction alone, and kept for ever: nothing reads them by time.

DROP INDEX IF EXISTS gateway.credit_payment_at;
