-- Which forms of self-edit did RL keep? The forms are told apart here by how a self-edit begins;
-- nothing in the loop knows of them, only this question about it.
SELECT
    round,
    CASE
        WHEN starts_with(completion, 'Question:') THEN 'question-answer'
        WHEN starts_with(completion, 'They say') THEN 'hearsay'
        WHEN regexp_matches(completion, '^(Now a|Settled in|Fond of|Skilled with|Owner of)') THEN 'copied'
        WHEN regexp_matches(completion, '^\S+ \S+ (works as|lives in|likes to eat|plays|keeps)') THEN 'restated'
        ELSE 'vague'
    END AS form,
    count(*) AS written,
    round(avg(reward), 2) AS mean_reward,
    count(*) FILTER (kept) AS kept
FROM selections k
JOIN lineage l ON l.artifact_id = k.artifact_id
JOIN self_edits s ON s.artifact_id = l.ancestor AND s.self_edit_id = k.self_edit_id
GROUP BY ALL
ORDER BY round, written DESC
