-- One row per training line of a self-edit about a passage, in its order: the completion as training
-- takes it apart (`stages.recipes.texts`). A view, like a table to `seal sql`. The passage itself,
-- which is trained on beside them, is not here; of more lines than --max-sequences the last are not
-- trained on.
WITH texts AS (
    SELECT artifact_id, self_edit_id, context_id, policy, round, sample, prompt_name, status,
           coalesce(text_split, CASE prompt_name WHEN 'self-qa' THEN 'questions' ELSE 'lines' END)
               AS split,
           replace(replace(completion, chr(13) || chr(10), chr(10)), chr(13), chr(10)) AS written
    FROM self_edits
    ANTI JOIN (SELECT DISTINCT context_id FROM contexts WHERE domain = 'arc') USING (context_id)
), parts AS (
    SELECT * EXCLUDE (written), list_filter(
        list_transform(
            CASE split WHEN 'none' THEN [written]
                 WHEN 'blocks' THEN regexp_split_to_array(written, '\n[^\S\n]*\n')
                 WHEN 'questions' THEN string_split(
                     regexp_replace(written, '\n(Question\s+\d+\s*:)', chr(1) || '\1', 'g'), chr(1))
                 ELSE string_split(written, chr(10)) END,
            lambda part: regexp_replace(part, '^[\s\v\pZ]+|[\s\v\pZ]+$', '', 'g')),
        lambda part: part <> '') AS kept
    FROM texts
), shown AS (
    SELECT * EXCLUDE (kept),
           CASE WHEN split IN ('lines', 'questions') AND regexp_matches(kept[2], '^1\.\s')
                THEN kept[2:] ELSE kept END AS kept
    FROM parts
)
SELECT s.artifact_id, s.self_edit_id, s.context_id, c.title, coalesce(n.name, s.policy) AS policy,
       s.round, s.sample, s.prompt_name AS prompt, s.ordinal, s.line
FROM (SELECT * EXCLUDE (kept), unnest(kept) AS line,
             generate_subscripts(kept, 1) - 1 AS ordinal FROM shown) s
LEFT JOIN (SELECT context_id, any_value(title) AS title FROM contexts GROUP BY context_id) c
    ON c.context_id = s.context_id
LEFT JOIN model_names n ON n.policy = s.policy
