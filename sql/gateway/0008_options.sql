-- What says how a job's tokens are chosen, in the canonical bytes that its terms commit to; null where they are drawn from the four likeliest.
ALTER TABLE gateway.attempt ADD COLUMN options bytea;
