-- run: views
-- The lists with all their columns, now that the tables have them, and what these columns are.
SELECT analytics.make_lists();

DO $build$
DECLARE
    c record;
BEGIN
FOR c IN
    WITH said(list, name, comment) AS (VALUES
        ('models', 'creator', 'Base58 key that registered it, a part of its identity'),
        ('models', 'pending_registrant', 'Base58 key that may take over as registrant; null if none may'),
        ('validators', 'owner', 'Base58 key that has stake, earnings and settings: the authority, until it hands over'),
        ('validators', 'pending_owner', 'Base58 key that may take over as owner; null if none may'),
        ('validators', 'obliged_until_slot', 'First slot at which stake can be withdrawn, whatever else allows it: jobs accepted may be challenged until then, seats of juries fined; null if nothing holds it'),
        ('validators', 'exposure_lamports', 'Lamports of the ceilings of its open jobs together'),
        ('validators', 'paid_in_lamports', 'Lamports of stake paid in since registration'),
        ('validators', 'withdrawn_stake_lamports', 'Lamports of stake paid out since registration'),
        ('validators', 'returned_lamports', 'Lamports of bonds that returned since registration'),
        ('validators', 'withdrawn_lamports', 'Lamports of earnings and returned bonds paid out since registration'),
        ('jobs', 'open_request', 'Requested without a validator: whoever took it chose it'),
        ('jobs', 'no_show_lamports', 'Lamports of stake that its validator lost for staying silent, burned; null until the end'),
        ('jobs', 'stake_at_result_lamports', 'Lamports of its validator''s whole stake in the slot of the result: what bonds against it are computed on; null until submitted'),
        ('jobs', 'options_hash', 'Hex hash of the options, stop strings among them; null if there are none, and in sampling profile 1'))
    SELECT v.relnamespace::regnamespace AS schema, v.relname AS view, said.name, said.comment
      FROM said JOIN pg_class v ON v.relkind = 'v' AND v.relnamespace::regnamespace::text IN ('analytics', 'listing')
                                AND v.relname ~ ('^' || said.list || '(_(processed|confirmed|finalized)(_(un)?rooted)?)?$')
LOOP
    EXECUTE format('COMMENT ON COLUMN %s.%I.%I IS %L', c.schema, c.view, c.name, c.comment);
END LOOP;
END $build$;
