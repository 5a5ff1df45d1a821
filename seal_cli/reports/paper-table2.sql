-- Accuracy without the passage in view by method (paper Table 2), with SEAL minus each of the others.
--
-- One line per experiment, prompt `implications` (`prompt-ablation` has the others); `runs` of the
-- same one are averaged. `model` was adapted to what `generator` wrote after `round` rounds of RL;
-- `training` is how the models of a comparison were trained, and the dataset's name of an import ends
-- with the number of passages. Single passage: mean over passages; many passages (cpt): mean over
-- questions. The unadapted model is measured again in every evaluation: this is the measurement
-- beside the model's own self-edits before RL. Differences are paired by passage. `seal` is whom the
-- others are compared with: the last round's own self-edits on the same base model; without a round
-- of RL, that model's own. `file` is what was imported, else an artifact.
-- Needs: `seal import official DIR` or `seal eval POLICY CONTEXTS`.
WITH measured AS (
    SELECT *, {'regime': regime, 'trained': trained, 'dataset': dataset, 'asked': asked, 'base': base,
               'grader': grader} AS comparison,
           {'method': method, 'student': student, 'policy': policy, 'round': round,
            'generator': generator, 'prompt': prompt_name} AS line
    FROM accuracies WHERE counts
    QUALIFY coalesce(max(prompt_name) OVER (PARTITION BY artifact_id), 'implications') = 'implications'
), cells AS (
    SELECT comparison, line, context_id, avg(accuracy) AS accuracy,
           CASE comparison.regime WHEN 'cpt' THEN max(n_questions) ELSE 1 END AS weight,
           line.method = 'self-edits' AND any_value(own) AS ours
    FROM measured GROUP BY comparison, line, context_id
), marked AS (
    SELECT *, ours AND rank() OVER (PARTITION BY comparison, ours ORDER BY line.round DESC,
                                    line.student <> line.policy) = 1 AS is_seal
    FROM cells
), seal AS (
    SELECT comparison, context_id, avg(accuracy) AS seal_accuracy
    FROM marked WHERE is_seal GROUP BY ALL
), called AS (
    SELECT comparison, string_agg(DISTINCT coalesce(name, line.policy), ', ') AS seal
    FROM marked LEFT JOIN model_names ON policy = line.policy WHERE is_seal GROUP BY ALL
), lines AS (
    SELECT comparison, line, is_seal, any_value(seal) AS seal, count(*) AS passages,
           weighted(accuracy, weight) AS mean, mean_low(accuracy, weight) AS low,
           mean_high(accuracy, weight) AS high,
           weighted(seal_accuracy - accuracy, weight) AS more,
           mean_low(seal_accuracy - accuracy, weight) AS more_low,
           mean_high(seal_accuracy - accuracy, weight) AS more_high
    FROM marked LEFT JOIN seal USING (comparison, context_id) LEFT JOIN called USING (comparison)
    GROUP BY comparison, line, is_seal
), sources AS (
    SELECT comparison, line, count(DISTINCT artifact_id) AS runs,
           coalesce(string_agg(DISTINCT parse_filename(source), ', '), min(artifact_id)) AS file
    FROM measured JOIN artifacts USING (artifact_id) GROUP BY ALL
)
SELECT comparison.regime, comparison.trained AS training, comparison.dataset,
       comparison.asked AS questions, coalesce(n.name, line.student) AS model, line.method,
       coalesce(line.generator, 'none') AS generator, line.prompt, line.round,
       round(mean, 4) AS accuracy, round(at_least_0(low), 4) AS low, round(at_most_1(high), 4) AS high,
       seal, CASE WHEN NOT is_seal THEN round(more, 4) END AS seal_minus_this,
       CASE WHEN NOT is_seal THEN round(more_low, 4) END AS minus_low,
       CASE WHEN NOT is_seal THEN round(more_high, 4) END AS minus_high,
       passages, comparison.grader, runs, file
FROM lines JOIN sources USING (comparison, line)
LEFT JOIN model_names n ON n.policy = line.student
ORDER BY comparison.regime DESC, comparison,
         CASE line.method WHEN 'unadapted' THEN 0 WHEN 'passage-only' THEN 1 ELSE 2 END, line.round,
         generator, model, mean
