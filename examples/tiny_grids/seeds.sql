-- One line: accuracy in context, with self-edits before RL and after each round, and the oracle's;
-- what two rounds of RL gained, paired by task, with its 95 % interval. Several seeds in one store
-- are averaged by task first. An evaluation of the oracle counts for the oracle alone: its other
-- self-edits are those of the loop again.
WITH cells AS (
    SELECT method, round, context_id, avg(accuracy) AS accuracy
    FROM accuracies
    WHERE own AND (method = 'oracle' OR artifact_id NOT IN
                   (SELECT artifact_id FROM accuracies WHERE method = 'oracle'))
    GROUP BY ALL
), tasks AS (
    SELECT context_id,
           any_value(accuracy) FILTER (method = 'in-context' AND round = 0) AS in_context,
           any_value(accuracy) FILTER (method = 'self-edits' AND round = 0) AS before,
           any_value(accuracy) FILTER (method = 'self-edits' AND round = 1) AS after_1,
           any_value(accuracy) FILTER (method = 'self-edits' AND round = 2) AS after_2,
           any_value(accuracy) FILTER (method = 'oracle') AS oracle
    FROM cells GROUP BY context_id
)
SELECT count(*) AS tasks, round(avg(in_context), 3) AS in_context, round(avg(before), 3) AS before,
       round(avg(after_1), 3) AS after_1, round(avg(after_2), 3) AS after_2,
       round(avg(oracle), 3) AS oracle, round(avg(after_2 - before), 3) AS gain,
       round(mean_low(after_2 - before), 3) AS gain_low,
       round(mean_high(after_2 - before), 3) AS gain_high
FROM tasks
