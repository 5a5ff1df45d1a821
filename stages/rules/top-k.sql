-- The $keep best self-edits of each context, by reward; earlier samples win ties.
SELECT
    self_edit_id,
    row_number() OVER (
        PARTITION BY context_id
        ORDER BY status = 'ok' DESC, reward DESC NULLS LAST, sample, self_edit_id
    ) AS rank,
    rank <= $keep AND status = 'ok' AS kept,
    CASE WHEN kept THEN 'among the best ' || $keep
         WHEN status <> 'ok' THEN status
         ELSE 'others earned more' END AS reason
FROM rewards
