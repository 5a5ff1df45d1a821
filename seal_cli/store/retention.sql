-- One row per step of the regime `continual` and passage learned: what is left of it. A view, like a
-- table to `seal sql`. `step` counts edits from 0 (before the first), `position` the passages in the
-- order of their edits; accuracy is a mean over `sequences`.
SELECT m.artifact_id, coalesce(n.name, m.policy) AS policy, m.round, m.dataset, m.method, m.grader,
       m.step, m.position, m.position IS NOT NULL AND m.position <= m.step AS learned,
       m.value AS accuracy, m.ci_low AS low, m.ci_high AS high, m.n AS sequences
FROM metrics m LEFT JOIN model_names n ON n.policy = m.policy
WHERE m.regime = 'continual' AND m.metric = 'accuracy' AND m.step IS NOT NULL
