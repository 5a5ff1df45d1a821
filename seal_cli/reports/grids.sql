-- One few-shot task: its demonstrations, and what was said of its tests by method and round.
--
-- $context is a context_id or a title; without it, the first task that was evaluated. With voting a
-- prediction is the first of two attempts. Grids are drawn as coloured cells.
-- Needs: `seal eval POLICY CONTEXTS` of contexts of the domain arc.
WITH said AS (
    SELECT m.round, a.method, a.repeat, q.ordinal, c.context_id, c.title, c.text, q.question,
           q.answers[1] AS truth, a.text AS prediction, v.correct, c.ordinal AS place
    FROM (SELECT DISTINCT artifact_id, round, grader FROM metrics WHERE regime = 'fewshot') m
    JOIN answers a ON a.artifact_id = m.artifact_id
    JOIN verdicts v ON v.artifact_id = a.artifact_id AND v.answer_id = a.answer_id
        AND v.grader = coalesce(m.grader, v.grader)
    JOIN lineage l ON l.artifact_id = a.artifact_id
    JOIN contexts c ON c.artifact_id = l.ancestor AND c.context_id = a.context_id
    JOIN questions q ON q.artifact_id = c.artifact_id AND q.question_id = a.question_id
), wanted AS (
    SELECT * FROM said WHERE context_id IN (
        SELECT context_id FROM said
        WHERE $context IS NULL OR context_id = $context OR title = $context
        ORDER BY place, context_id LIMIT 1)
), shown AS (
    SELECT title, unnest(from_json(text, '[{"input": "JSON", "output": "JSON"}]')) AS pair,
           generate_subscripts(from_json(text, '["JSON"]'), 1) AS number
    FROM (SELECT DISTINCT title, text FROM wanted)
)
SELECT title, 'demonstration ' || number AS part, NULL AS method, NULL::BIGINT AS round,
       pair.input::VARCHAR AS input, pair.output::VARCHAR AS output, NULL AS prediction,
       NULL::BOOLEAN AS correct
FROM shown
UNION ALL
SELECT title, 'test ' || ordinal + 1, method, round, question, truth,
       split_part(prediction, chr(10), 1), bool_or(correct)
FROM wanted GROUP BY ALL
ORDER BY part, round NULLS FIRST, method
