-- How often an adapted model says nothing, and its accuracy where it says something.
--
-- One line per artifact, method and grader; means over questions, those of a probe left out. Empty
-- answers are wrong for every grader; a gain may be no more than fewer of them.
-- Needs: `seal score` or `seal eval`.
SELECT x.regime, x.trained AS training, x.dataset, coalesce(n.name, x.student) AS model, x.method,
       coalesce(x.generator, 'none') AS generator, x.prompt_name AS prompt, x.round, j.grader,
       count(*) AS answers,
       round(avg((NOT regexp_matches(a.text, '\S'))::INT), 4) AS empty,
       round(avg(j.correct::INT), 4) AS accuracy,
       round(avg(j.correct::INT) FILTER (regexp_matches(a.text, '\S')), 4) AS accuracy_of_the_rest,
       parse_filename(any_value(f.source)) AS file, x.artifact_id
FROM judgements j
JOIN answers a ON a.artifact_id = j.artifact_id AND a.answer_id = j.answer_id
JOIN experiments x ON x.artifact_id = a.artifact_id AND x.method = a.method
JOIN artifacts f ON f.artifact_id = a.artifact_id
LEFT JOIN model_names n ON n.policy = x.student
WHERE j.correct IS NOT NULL AND a.scope = 'own'
GROUP BY ALL
ORDER BY dataset, regime, training, model, method, generator, prompt, round, grader, file, x.artifact_id
