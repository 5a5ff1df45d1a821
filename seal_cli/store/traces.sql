-- One row per request of a recipe of several steps: what the policy was asked in which step, about
-- which items of an earlier step, and what it wrote. A view, like a table to `seal sql`; `ordinal`
-- counts the requests of a self-edit from 0.
SELECT artifact_id, self_edit_id, context_id, sample, policy, round, prompt_name,
       ordinality - 1 AS ordinal, entry.step, entry.items, entry.prompt, entry.output,
       entry.n_tokens, entry.seed, entry.finish, entry.error
FROM (
    SELECT * EXCLUDE (prompt, seed, n_tokens, finish),
           unnest(from_json(trace, '[{"step": "VARCHAR", "items": ["VARCHAR"], "prompt": "VARCHAR",
               "output": "VARCHAR", "n_tokens": "BIGINT", "seed": "BIGINT", "finish": "VARCHAR",
               "error": "VARCHAR"}]')) AS entry,
           generate_subscripts(from_json(trace, '["JSON"]'), 1) AS ordinality
    FROM self_edits WHERE trace IS NOT NULL
)
