-- One row per question, self-edit and grader: the answer before and after adapting. A view, like a
-- table to `seal sql`.
--
-- `before` and `after` are the answers of the first repeat, `before_share` and `after_share` the shares
-- of repeats that were right, by which `change` is told: gained, lost, kept (right both times),
-- never (right neither time); null where an answer was not judged.
WITH asked AS (
    SELECT * FROM judged WHERE scope = 'own' AND step IS NULL
), unadapted AS (
    SELECT artifact_id, question_id, grader, arg_min(text, repeat) AS text,
           CASE WHEN count(correct) = count(*) THEN avg(correct::INT) END AS share
    FROM asked WHERE method = 'unadapted' GROUP BY ALL
), adapted AS (
    SELECT artifact_id, context_id, title, question_id, question, gold, self_edit_id, grader,
           arg_min(text, repeat) AS text,
           CASE WHEN count(correct) = count(*) THEN avg(correct::INT) END AS share
    FROM asked WHERE self_edit_id IS NOT NULL GROUP BY ALL
)
SELECT a.artifact_id, a.context_id, a.title, a.self_edit_id, a.question_id, a.question, a.gold,
       b.text AS before, a.text AS after, b.share AS before_share, a.share AS after_share, a.grader,
       CASE WHEN b.share IS NULL OR a.share IS NULL THEN NULL
            WHEN b.share <= 0.5 AND a.share > 0.5 THEN 'gained'
            WHEN b.share > 0.5 AND a.share <= 0.5 THEN 'lost'
            WHEN a.share > 0.5 THEN 'kept' ELSE 'never' END AS change
FROM adapted a LEFT JOIN unadapted b
    ON b.artifact_id = a.artifact_id AND b.question_id = a.question_id AND b.grader IS NOT DISTINCT FROM a.grader
