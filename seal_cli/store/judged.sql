-- One row per answer and grader, with its question: the newest verdict of each grader, null where the
-- answer could not be judged. A view, like a table to `seal sql`.
SELECT a.artifact_id, a.context_id, c.title, a.question_id, q.question, q.answers AS gold,
       a.method, a.self_edit_id, a.adapter_id, a.answer_id, a.repeat, a.sequence, a.step, a.scope,
       coalesce(m.name, a.student) AS student, a.text, a.status, j.grader, j.correct, j.score,
       j.judged_in
FROM answers a
LEFT JOIN judgements j ON j.artifact_id = a.artifact_id AND j.answer_id = a.answer_id
LEFT JOIN (SELECT context_id, any_value(title) AS title FROM contexts GROUP BY context_id) c
    ON c.context_id = coalesce(a.about_context_id, a.context_id)
LEFT JOIN (SELECT question_id, any_value(question) AS question, any_value(answers) AS answers
           FROM questions GROUP BY question_id) q ON q.question_id = a.question_id
LEFT JOIN model_names m ON m.policy = a.student
