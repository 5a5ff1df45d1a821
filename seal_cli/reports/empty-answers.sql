-- How often an adapted model says nothing, and its accuracy where it says something.
--
-- Means over questions. Empty answers are wrong for every grader; a gain may be no more than fewer
-- of them.
-- Needs: `seal score` or `seal eval`.
SELECT a.artifact_id, parse_filename(any_value(f.source)) AS file,
       coalesce(any_value(n.name), any_value(w.policy), any_value(a.student)) AS model,
       a.method, j.grader,
       count(*) AS answers,
       round(avg((NOT regexp_matches(a.text, '\S'))::INT), 4) AS empty,
       round(avg(j.correct::INT), 4) AS accuracy,
       round(avg(j.correct::INT) FILTER (regexp_matches(a.text, '\S')), 4) AS accuracy_of_the_rest
FROM judgements j
JOIN answers a USING (artifact_id, answer_id)
JOIN artifacts f USING (artifact_id)
LEFT JOIN (SELECT artifact_id, method, any_value(policy) AS policy FROM metrics GROUP BY ALL) w
    ON w.artifact_id = a.artifact_id AND w.method = a.method
LEFT JOIN (SELECT policy, any_value(name) AS name FROM policies GROUP BY policy) n
    ON n.policy = coalesce(w.policy, a.student)
WHERE j.correct IS NOT NULL
GROUP BY a.artifact_id, a.method, j.grader
ORDER BY model, a.method, j.grader, a.artifact_id
