-- run: projection
-- What the rules about stake need: who owns a model and a validator, until which slot a validator's stake stays for what it accepted
-- and judged (null if it never did), what it backs, and what silence cost it. Lamports.
--   exposure_lamports   ceilings of a validator's open jobs together
--   open_request        requested without a validator, so that whoever took it chose it
--   no_show_lamports    what the validator lost for staying silent, null until the job ended
--   forfeited_lamports  what was due to jurors whose accounts were gone, and was burned when it was collected
-- Running totals of validators: staked = stake of all kinds + slashed + withdrawn_stake, earned + returned = claimable + withdrawn.

DO $alter$
DECLARE
    t record;
BEGIN
FOR t IN
    SELECT e.name, s.suffix, e.columns FROM (VALUES
        ('model', 'ADD creator bytea, ADD pending_registrant bytea'),
        ('validator', 'ADD owner bytea, ADD pending_owner bytea, ADD obliged_until_slot bigint, ADD exposure_lamports bigint,
            ADD staked_lamports bigint, ADD withdrawn_stake_lamports bigint, ADD returned_lamports bigint, ADD withdrawn_lamports bigint'),
        ('job', 'ADD open_request boolean, ADD no_show_lamports bigint'),
        ('dispute', 'ADD forfeited_lamports bigint')) e(name, columns), (VALUES (''), ('_hot'), ('_overlay')) s(suffix)
LOOP
    EXECUTE format('ALTER TABLE %I %s', t.name || t.suffix, t.columns);
END LOOP;

-- Their views again, in the form of 0302: what is final and what is not as one table with children.
FOR t IN
    SELECT e.name, v.chain, v.word, e.name || '_overlay' AS overlay,
           (SELECT string_agg(format('o.%1$I = u.%1$I', a.attname), ' AND ') FROM pg_index i
              JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
             WHERE i.indrelid = e.name::regclass AND i.indisprimary) AS on_keys,
           (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
             WHERE attrelid = e.name::regclass AND attnum > 0 AND NOT attisdropped) AS columns
      FROM (VALUES ('model'), ('validator'), ('job'), ('dispute')) e(name), (VALUES (1, 'processed'), (2, 'confirmed')) v(chain, word)
LOOP
    EXECUTE format('CREATE OR REPLACE VIEW %1$I AS SELECT %2$s FROM %3$I u
        WHERE NOT EXISTS (SELECT FROM %4$I o WHERE o.chain = %5$s AND %6$s)',
        t.name || '_' || t.word || '_rooted', t.columns, t.name, t.overlay, t.chain, t.on_keys);
    EXECUTE format('CREATE OR REPLACE VIEW %1$I AS SELECT %2$s FROM %3$I WHERE chain = %4$s',
        t.name || '_' || t.word || '_unrooted', t.columns, t.overlay, t.chain);
    EXECUTE format('CREATE OR REPLACE VIEW %1$I AS SELECT %2$s FROM (
            SELECT NULL::smallint AS chain, %2$s FROM %3$I UNION ALL SELECT chain, %2$s FROM %4$I) u
         WHERE u.chain = %5$s OR (u.chain IS NULL AND NOT EXISTS (SELECT FROM %4$I o WHERE o.chain = %5$s AND %6$s))',
        t.name || '_' || t.word, t.columns, t.name, t.overlay, t.chain, t.on_keys);
    EXECUTE format('CREATE OR REPLACE VIEW %I AS SELECT %s FROM %I', t.name || '_finalized', t.columns, t.name);
END LOOP;
END $alter$;
