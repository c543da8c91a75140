-- How alarms are raised and cleared, by the indexer and by others that watch (the settler): whoever compares something with
-- the index needs no knowledge of the table.

-- Raises an alarm, or counts one up that is open with the same kind and detail.
CREATE FUNCTION pipeline.raise_alarm(
    a_kind text, first_slot bigint, final_slot bigint, times bigint, about bigint[], itself boolean, what text) RETURNS void
    LANGUAGE sql AS $$
    WITH again AS (
        UPDATE pipeline.alarm a SET slot = least(a.slot, first_slot), last_slot = greatest(a.last_slot, final_slot),
               count = a.count + times, newest_at = now()
        WHERE a.cleared_at IS NULL AND a.kind = a_kind AND a.detail = what RETURNING 1)
    INSERT INTO pipeline.alarm (kind, slot, last_slot, count, banks, clears_itself, detail)
    SELECT a_kind, first_slot, final_slot, times, about, itself, what WHERE NOT EXISTS (SELECT FROM again);
$$;

-- Clears the open alarms of a kind.
CREATE FUNCTION pipeline.clear_alarms(a_kind text, why text) RETURNS void
    LANGUAGE sql AS $$
    UPDATE pipeline.alarm a SET cleared_at = now(), cleared_reason = why WHERE a.kind = a_kind AND a.cleared_at IS NULL;
$$;
