-- Accuracy on every held-out person, before RL and after each round, by what RL was rewarded with:
-- gold questions, or so many of the model's own per person.
WITH learned AS (
    SELECT p.policy, p.round, any_value(r.origin) AS origin, max(r.n_questions) AS questions
    FROM policies p
    JOIN lineage l ON l.artifact_id = p.selection
    JOIN rewards r ON r.artifact_id = l.ancestor AND r.round = p.round - 1
    WHERE p.selection IS NOT NULL
    GROUP BY p.policy, p.round
)
SELECT coalesce(origin, 'before') AS origin, coalesce(questions, 0) AS questions, a.round,
       a.context_id, a.accuracy
FROM accuracies a LEFT JOIN learned USING (policy, round)
WHERE a.method = 'self-edits'
ORDER BY ALL
