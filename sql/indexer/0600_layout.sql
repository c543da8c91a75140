-- run: projection
-- From here on the tables hold accounts of the program that has one case a job (layout 3), and no others. What an index of an older
-- layout holds can't be read again, so it stays as it is, for a build that reads it.
DO $build$
DECLARE
    t text;
    found boolean;
BEGIN
    FOREACH t IN ARRAY ARRAY['config', 'config_hot', 'treasury', 'treasury_hot', 'model', 'model_hot', 'validator', 'validator_hot',
                             'vault', 'vault_hot', 'job', 'job_hot'] LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %I)', t) INTO found;
        IF found THEN
            RAISE EXCEPTION 'this index holds accounts of an older layout of the program, which this build does not read: give the indexer an empty database and it fills it from the chain (on a development network: mythic dev --reset)';
        END IF;
    END LOOP;
END $build$;
