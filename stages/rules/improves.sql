-- Every self-edit that beats the unadapted student by more than $margin (the paper's Eq. 2).
SELECT
    self_edit_id,
    row_number() OVER (
        PARTITION BY context_id
        ORDER BY status = 'ok' DESC, gain DESC NULLS LAST, sample, self_edit_id
    ) AS rank,
    coalesce(gain > $margin, false) AND status = 'ok' AS kept,
    CASE WHEN kept THEN 'improves on the unadapted student'
         WHEN status <> 'ok' THEN status
         ELSE 'does not improve' END AS reason
FROM rewards
