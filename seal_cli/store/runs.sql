-- One row per artifact: its name, what it was made from, how many rows it has by status, how long it
-- took, and how many tokens were written and trained on. A view, like a table to `seal sql`.
--
-- `name` is what `seal tag` or --name called it, else its source for an import; trained tokens count
-- every epoch.
WITH trained AS (
    SELECT artifact_id, sum(n_tokens * (hyperparameters::JSON ->> '$.epochs')::INT)::BIGINT AS tokens
    FROM adapters WHERE status = 'ok' GROUP BY artifact_id
), written AS (
    SELECT artifact_id, sum(n_tokens)::BIGINT AS tokens
    FROM (SELECT artifact_id, n_tokens FROM self_edits
          UNION ALL SELECT artifact_id, n_tokens FROM answers) GROUP BY artifact_id
)
SELECT a.artifact_id, coalesce(a.tag, regexp_extract(a.source, '[^/]+$')) AS name, a.stage, a.kind,
       a.inputs, a.n_rows AS rows, a.n_rows - a.n_invalid - a.n_failed AS ok, a.n_invalid AS invalid,
       a.n_failed AS failed, a.seconds, w.tokens AS written_tokens, t.tokens AS trained_tokens,
       a.created_at, a.host
FROM artifacts a LEFT JOIN trained t USING (artifact_id) LEFT JOIN written w USING (artifact_id)
