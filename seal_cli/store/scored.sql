-- One row per self-edit and rewards artifact: what was written about what, what it earned, whether a
-- selection kept it, how it was trained, and the settings of all that. A view, like a table to
-- `seal sql`.
--
-- `settings` are those of the rewards and of the generation, as text by `section.key`. `kept` is
-- whether any selection from these rewards kept it, null before there is one.
WITH written AS (
    SELECT r.artifact_id, r.self_edit_id, any_value(s.artifact_id) AS written_in,
           any_value(s.prompt_name) AS prompt_name, any_value(s.completion) AS completion,
           any_value(s.n_tokens) AS n_tokens
    FROM rewards r
    JOIN lineage l ON l.artifact_id = r.artifact_id
    JOIN self_edits s ON s.artifact_id = l.ancestor AND s.self_edit_id = r.self_edit_id
    GROUP BY ALL
), about AS (
    SELECT context_id, any_value(title) AS title, any_value(split) AS split,
           min(ordinal) AS ordinal
    FROM contexts GROUP BY context_id
), chosen AS (
    SELECT input AS artifact_id, self_edit_id, bool_or(kept) AS kept, min(rank) AS rank
    FROM selections JOIN (SELECT artifact_id, unnest(inputs) AS input FROM artifacts)
        USING (artifact_id)
    GROUP BY ALL
), trained AS (
    SELECT r.artifact_id, d.self_edit_id, max(d.n_tokens) AS tokens, avg(d.first_loss) AS first_loss,
           avg(d.last_loss) AS last_loss, sum(d.seconds) AS seconds
    FROM (SELECT DISTINCT artifact_id FROM rewards) r
    JOIN lineage l ON l.artifact_id = r.artifact_id
    JOIN adapters d ON d.artifact_id = l.ancestor AND d.self_edit_id IS NOT NULL
    GROUP BY ALL
), said AS (
    SELECT artifact_id, map_from_entries(list((section || '.' || key, value))) AS settings
    FROM settings GROUP BY artifact_id
)
SELECT r.artifact_id, r.context_id, r.self_edit_id, c.title, c.split, c.ordinal,
       coalesce(p.name, r.policy) AS policy, r.round, w.prompt_name AS prompt, r.sample,
       w.completion AS text, w.n_tokens AS written_tokens, r.status, r.reason, r.reward, r.gain,
       r.baseline_accuracy AS baseline, r.adapted_accuracy AS adapted, r.adapted_std AS spread,
       r.n_repeats AS repeats, r.n_questions AS questions, k.kept, k.rank, t.tokens, t.first_loss,
       t.last_loss, t.seconds, coalesce(m.name, r.student) AS student, r.grader, r.rule, r.origin,
       r.dataset,
       map_concat(g.settings, o.settings) AS settings  -- where both have one, that of the rewards
FROM rewards r
LEFT JOIN written w USING (artifact_id, self_edit_id)
LEFT JOIN about c ON c.context_id = r.context_id
LEFT JOIN chosen k ON k.artifact_id = r.artifact_id AND k.self_edit_id = r.self_edit_id
LEFT JOIN trained t ON t.artifact_id = r.artifact_id AND t.self_edit_id = r.self_edit_id
LEFT JOIN model_names p ON p.policy = r.policy
LEFT JOIN model_names m ON m.policy = r.student
LEFT JOIN said o ON o.artifact_id = r.artifact_id
LEFT JOIN said g ON g.artifact_id = w.written_in
