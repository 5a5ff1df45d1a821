-- The best self-edit of each context, by reward; the earliest sample wins a tie (the paper's rule:
-- no threshold, a context whose best self-edit does not help still gives one).
SELECT
    self_edit_id,
    row_number() OVER (
        PARTITION BY context_id
        ORDER BY status = 'ok' DESC, reward DESC NULLS LAST, sample, self_edit_id
    ) AS rank,
    rank = 1 AND status = 'ok' AS kept,
    CASE WHEN kept THEN 'best of its context'
         WHEN status <> 'ok' THEN status
         ELSE 'another one earned more' END AS reason
FROM rewards
