-- What was written about each context, once per artifact that scored or evaluated it, and per grader.
-- A self-edit that was only generated has no grader. $only are the artifacts to look at.
WITH mine AS (
    SELECT unnest($only::VARCHAR[]) AS artifact_id
), written AS (
    SELECT self_edit_id, any_value(context_id) AS context_id, any_value(policy) AS policy,
           any_value(round) AS round, any_value(sample) AS sample,
           any_value(prompt_name) AS prompt, any_value(completion) AS text,
           any_value(n_tokens) AS written_tokens, any_value(status) AS status,
           any_value(reason) AS reason
    FROM self_edits GROUP BY self_edit_id
), answered AS (  -- a regrade has its answers in the artifact it judged
    SELECT l.artifact_id, a.self_edit_id, arg_min(l.ancestor, l.ancestor <> l.artifact_id) AS asked_in
    FROM lineage l
    JOIN (SELECT DISTINCT artifact_id, self_edit_id FROM answers WHERE scope = 'own') a
        ON a.artifact_id = l.ancestor
    GROUP BY ALL
), trained AS (
    SELECT l.artifact_id, d.self_edit_id, list({
               'repeat': d.repeat, 'status': d.status, 'reason': d.reason, 'lines': d.n_sequences,
               'tokens': d.n_tokens, 'steps': d.n_steps, 'first_loss': d.first_loss,
               'last_loss': d.last_loss} ORDER BY d.repeat) AS adapters
    FROM lineage l JOIN adapters d ON d.artifact_id = l.ancestor
    WHERE d.self_edit_id IS NOT NULL AND d.sequence IS NULL
    GROUP BY ALL
), examined AS (
    SELECT artifact_id, self_edit_id, context_id, grader, count(*) AS n,
           CASE WHEN count(before_share) = count(*) THEN avg(before_share) END AS baseline,
           CASE WHEN count(after_share) = count(*) THEN avg(after_share) END AS adapted
    FROM flips GROUP BY ALL
), asked AS (
    SELECT artifact_id, context_id, count(DISTINCT question_id) AS questions
    FROM answers WHERE scope = 'own' GROUP BY ALL
), failures AS (
    SELECT artifact_id, self_edit_id, any_value(context_id) AS context_id,
           CASE WHEN bool_or(status = 'failed') THEN 'failed'
                WHEN bool_or(status = 'invalid') THEN 'invalid' ELSE 'ok' END AS status,
           max(reason) AS reason, count(*) AS repeats
    FROM adapters
    WHERE self_edit_id IS NOT NULL AND sequence IS NULL
      AND artifact_id IN (SELECT artifact_id FROM metrics)
    GROUP BY ALL
), graders AS (
    SELECT DISTINCT artifact_id, grader FROM judgements
), evaluated AS (
    SELECT k.artifact_id, k.self_edit_id, k.context_id, g.grader, a.questions, e.baseline,
           CASE WHEN e.n = a.questions AND coalesce(f.status, 'ok') = 'ok' THEN e.adapted END AS adapted,
           f.status, f.reason, f.repeats
    FROM (SELECT artifact_id, self_edit_id, context_id FROM failures
          UNION SELECT artifact_id, self_edit_id, context_id FROM examined) k
    ANTI JOIN rewards r ON r.artifact_id = k.artifact_id
    LEFT JOIN graders g ON g.artifact_id = k.artifact_id
    LEFT JOIN examined e ON e.artifact_id = k.artifact_id AND e.self_edit_id = k.self_edit_id
        AND e.grader = g.grader
    LEFT JOIN failures f ON f.artifact_id = k.artifact_id AND f.self_edit_id = k.self_edit_id
    LEFT JOIN asked a ON a.artifact_id = k.artifact_id AND a.context_id = k.context_id
), every AS (
    SELECT artifact_id, self_edit_id, context_id, grader, policy, round, sample, prompt, text,
           written_tokens, status, reason, reward, gain, baseline, adapted, spread, repeats,
           questions, student, rule
    FROM scored
    UNION ALL BY NAME
    SELECT e.* EXCLUDE (status, reason), e.adapted - e.baseline AS gain,
           w.* EXCLUDE (self_edit_id, context_id, status, reason, policy),
           coalesce(n.name, w.policy) AS policy, coalesce(e.status, w.status) AS status,
           coalesce(e.reason, w.reason) AS reason
    FROM evaluated e LEFT JOIN written w ON w.self_edit_id = e.self_edit_id
    LEFT JOIN model_names n ON n.policy = w.policy
    UNION ALL BY NAME
    SELECT s.artifact_id, s.self_edit_id, s.context_id, s.round, s.sample, s.prompt_name AS prompt,
           s.completion AS text, s.n_tokens AS written_tokens, s.status, s.reason,
           coalesce(n.name, s.policy) AS policy
    FROM self_edits s
    LEFT JOIN model_names n ON n.policy = s.policy
    ANTI JOIN rewards r ON r.self_edit_id = s.self_edit_id
    WHERE s.self_edit_id NOT IN (SELECT self_edit_id FROM evaluated)
)
SELECT e.*, a.asked_in, t.adapters
FROM every e SEMI JOIN mine USING (artifact_id)
LEFT JOIN answered a ON a.artifact_id = e.artifact_id AND a.self_edit_id = e.self_edit_id
LEFT JOIN trained t ON t.artifact_id = e.artifact_id AND t.self_edit_id = e.self_edit_id
ORDER BY e.context_id, e.round, e.artifact_id, e.grader, e.reward DESC, e.adapted DESC, e.sample
