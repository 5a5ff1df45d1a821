-- Every self-edit that beats the unadapted student by more than $margin (the paper's Eq. 2);
-- the mean of 1/5, 1/5 and 1/5 is in floats a little more than 1/5, and no gain.
SELECT
    self_edit_id,
    row_number() OVER (
        PARTITION BY context_id
        ORDER BY status = 'ok' DESC, gain DESC NULLS LAST, sample, self_edit_id
    ) AS rank,
    coalesce(gain > $margin + 1e-9, false) AND status = 'ok' AS kept,
    CASE WHEN kept THEN 'improves on the unadapted student'
         WHEN status <> 'ok' THEN status
         ELSE 'does not improve' END AS reason
FROM rewards
