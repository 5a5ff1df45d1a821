-- What each stage took: time, rows, tokens trained on and tokens generated.
--
-- Seconds are wall time of the runs that published an artifact; trained tokens count every epoch.
-- Needs: any stage.
WITH trained AS (
    SELECT artifact_id, sum(n_tokens * (hyperparameters::JSON ->> '$.epochs')::INT) AS tokens,
           sum(seconds) AS seconds, count(*) AS adapters
    FROM adapters WHERE n_tokens IS NOT NULL AND status = 'ok' GROUP BY artifact_id
), written AS (
    SELECT artifact_id, sum(n_tokens) AS tokens
    FROM (SELECT artifact_id, n_tokens FROM self_edits UNION ALL SELECT artifact_id, n_tokens FROM answers)
    GROUP BY artifact_id
)
SELECT stage, host, count(*) AS artifacts, sum(n_rows)::BIGINT AS rows,
       round(sum(a.seconds), 1) AS seconds,
       round(sum(a.seconds) / nullif(sum(n_rows), 0), 3) AS seconds_per_row,
       sum(t.adapters)::BIGINT AS adapters,
       round(sum(t.seconds) / sum(t.adapters), 3) AS seconds_per_adapter,
       sum(t.tokens)::BIGINT AS trained_tokens,
       sum(w.tokens)::BIGINT AS generated_tokens
FROM artifacts a LEFT JOIN trained t USING (artifact_id) LEFT JOIN written w USING (artifact_id)
GROUP BY stage, host
ORDER BY list_position(['import', 'generate', 'adapt', 'score', 'regrade', 'filter', 'update', 'eval'], stage), host
