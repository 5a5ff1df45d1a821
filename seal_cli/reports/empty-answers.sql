-- How often an adapted model says nothing, and its accuracy where it says something.
--
-- Means over questions. Empty answers are wrong for every grader; a gain may be no more than fewer
-- of them.
-- Needs: `seal score` or `seal eval`.
SELECT a.artifact_id, parse_filename(any_value(f.source)) AS file,
       coalesce(any_value(n.name), any_value(w.policy), any_value(a.student)) AS model,
       a.method, v.grader,
       count(*) AS answers,
       round(avg((trim(a.text) = '')::INT), 4) AS empty,
       round(avg(v.correct::INT), 4) AS accuracy,
       round(avg(v.correct::INT) FILTER (trim(a.text) <> ''), 4) AS accuracy_of_the_rest
FROM verdicts v
JOIN lineage l ON l.artifact_id = v.artifact_id
JOIN answers a ON a.artifact_id = l.ancestor AND a.answer_id = v.answer_id
LEFT JOIN (SELECT artifact_id, method, any_value(policy) AS policy FROM metrics GROUP BY ALL) w
    ON w.artifact_id = a.artifact_id AND w.method = a.method
LEFT JOIN (SELECT policy, any_value(name) AS name FROM policies GROUP BY policy) n
    ON n.policy = coalesce(w.policy, a.student)
JOIN artifacts f ON f.artifact_id = a.artifact_id
WHERE v.correct IS NOT NULL
GROUP BY a.artifact_id, a.method, v.grader
ORDER BY model, a.method, v.grader, a.artifact_id
