-- Attempts whose state is new are looked at before those that linger.

CREATE INDEX IF NOT EXISTS attempt_fresh ON gateway.attempt (next_look, job)
    WHERE looks = 0 AND state IN ('open', 'abandoned', 'unconfirmed', 'answered');
