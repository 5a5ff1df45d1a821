-- How far graders agree on the same answers: share, Cohen's kappa, bias in points.
--
-- One line per artifact, method and grader, without a probe's answers. `against` is the grader whose
-- verdicts came with the answers; `grader` is another one, added by `seal regrade`, or stored beside a
-- model that judged them. Bias is the mean over contexts of what the grader gives more. Kappa is null
-- where both graders say the same of every answer and chance would, too.
-- Needs: `seal regrade ARTIFACT --grader NAME`, or a model as judge.
WITH pairs AS (
    SELECT artifact_id, a.method, a.context_id, o.grader AS against, n.grader,
           o.correct::INT AS theirs, n.correct::INT AS ours
    FROM judgements o JOIN judgements n USING (artifact_id, answer_id)
    JOIN answers a USING (artifact_id, answer_id)
    WHERE a.scope = 'own' AND o.judged_in = artifact_id AND n.grader <> o.grader
      AND NOT (n.judged_in = artifact_id AND starts_with(n.grader, 'judge:'))
      AND o.correct IS NOT NULL AND n.correct IS NOT NULL
), bias AS (
    SELECT artifact_id, method, grader, against, avg(more) AS bias
    FROM (SELECT artifact_id, method, grader, against, context_id, avg(ours) - avg(theirs) AS more
          FROM pairs GROUP BY ALL)
    GROUP BY ALL
), counted AS (
    SELECT artifact_id, method, grader, against, count(*) AS answers,
           avg((ours = theirs)::INT) AS same, avg(ours) AS yes, avg(theirs) AS their_yes,
           yes * their_yes + (1 - yes) * (1 - their_yes) AS chance,
           avg(theirs) FILTER (ours = 1) AS precision, avg(ours) FILTER (theirs = 1) AS recall
    FROM pairs GROUP BY ALL
)
SELECT x.regime, x.trained AS training, x.dataset, coalesce(m.name, x.student) AS model, method,
       coalesce(x.generator, 'none') AS generator, x.prompt_name AS prompt, x.round, grader, against,
       answers, round(same, 4) AS agreement,
       round((same - chance) / nullif(1 - chance, 0), 4) AS kappa,
       round(100 * bias, 2) AS bias_points,
       round(precision, 4) AS precision, round(recall, 4) AS recall,
       parse_filename(source) AS file, artifact_id
FROM counted JOIN bias USING (artifact_id, method, grader, against)
JOIN experiments x USING (artifact_id, method)
JOIN artifacts USING (artifact_id)
LEFT JOIN model_names m ON m.policy = x.student
ORDER BY dataset, x.regime, training, model, method, generator, prompt, x.round, grader, against, file,
         artifact_id
