-- run: projection
-- Who keeps models and validators: a model's creator is a part of its identity and never changes, a validator's authority is its name;
-- registrant and owner may hand over in two steps, pending_… is who may take over.

-- (Re)makes the views of an entity table: its state at each commitment, and the two parts of its lists.
CREATE FUNCTION pg_temp.make_views(name text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    on_keys text;
    cols text;
    c record;
BEGIN
    SELECT string_agg(format('o.%1$I = f.%1$I', a.attname), ' AND ') INTO on_keys
        FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
        WHERE i.indrelid = name::regclass AND i.indisprimary;
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO cols
        FROM pg_attribute WHERE attrelid = name::regclass AND attnum > 0 AND NOT attisdropped;
    FOR c IN SELECT * FROM (VALUES (1, 'processed'), (2, 'confirmed')) v(chain, word) LOOP
        EXECUTE format('CREATE OR REPLACE VIEW %1$I AS SELECT %2$s FROM %3$I f
            WHERE NOT EXISTS (SELECT FROM %4$I o WHERE o.chain = %5$s AND %6$s)',
            name || '_' || c.word || '_rooted', cols, name, name || '_overlay', c.chain, on_keys);
        EXECUTE format('CREATE OR REPLACE VIEW %1$I AS SELECT %2$s FROM %3$I WHERE chain = %4$s',
            name || '_' || c.word || '_unrooted', cols, name || '_overlay', c.chain);
        EXECUTE format('CREATE OR REPLACE VIEW %1$I AS
            SELECT %2$s FROM %3$I f WHERE NOT EXISTS (SELECT FROM %4$I o WHERE o.chain = %5$s AND %6$s)
            UNION ALL SELECT %2$s FROM %4$I WHERE chain = %5$s',
            name || '_' || c.word, cols, name, name || '_overlay', c.chain, on_keys);
    END LOOP;
    EXECUTE format('CREATE OR REPLACE VIEW %I AS SELECT %s FROM %I', name || '_finalized', cols, name);
END $$;

DO $alter$
DECLARE t text;
BEGIN
FOREACH t IN ARRAY ARRAY['model', 'model_hot', 'model_overlay'] LOOP
    EXECUTE format('ALTER TABLE %I ADD COLUMN creator bytea, ADD COLUMN pending_registrant bytea', t);
END LOOP;
FOREACH t IN ARRAY ARRAY['validator', 'validator_hot', 'validator_overlay'] LOOP
    EXECUTE format('ALTER TABLE %I ADD COLUMN owner bytea, ADD COLUMN pending_owner bytea', t);
END LOOP;
END $alter$;
SELECT pg_temp.make_views('model');
SELECT pg_temp.make_views('validator');
DROP FUNCTION pg_temp.make_views(text);
