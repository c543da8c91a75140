-- Answers say why they ended in the chain's words (eos, length, stopped, cancelled); those kept before had stop for the first and third.

UPDATE gateway.attempt SET answer = jsonb_set(answer, '{end,finish}', '"stopped"') WHERE answer #>> '{end,finish}' = 'stop';
UPDATE gateway.request r SET answer = jsonb_set(answer, '{choices}', (
           SELECT jsonb_agg(CASE WHEN choice #>> '{end,finish}' = 'stop' THEN jsonb_set(choice, '{end,finish}', '"stopped"') ELSE choice END
                            ORDER BY at)
             FROM jsonb_array_elements(r.answer -> 'choices') WITH ORDINALITY AS c (choice, at)))
 WHERE jsonb_path_exists(answer, '$.choices[*].end ? (@.finish == "stop")');
