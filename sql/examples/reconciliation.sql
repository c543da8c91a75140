-- Does the index agree with the chain? What the settler found when it last compared every account.
SELECT ok, context_slot, accounts, differing, confirmed, unbacked, unbalanced, inexact, stored_on_chain, stored_in_index, checked_at
FROM settler.reconciliation;
