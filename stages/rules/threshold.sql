-- Every self-edit whose reward is at least $threshold.
SELECT
    self_edit_id,
    row_number() OVER (
        PARTITION BY context_id
        ORDER BY status = 'ok' DESC, reward DESC NULLS LAST, sample, self_edit_id
    ) AS rank,
    coalesce(reward >= $threshold, false) AND status = 'ok' AS kept,
    CASE WHEN kept THEN 'reward reaches the threshold'
         WHEN status <> 'ok' THEN status
         ELSE 'reward below the threshold' END AS reason
FROM rewards
