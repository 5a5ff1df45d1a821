-- What models are called, each by a name of its own: two of one name are told apart by their ids.
-- Of several names for one model the first that was given. A view, like a table to `seal sql`.
SELECT policy, name || CASE WHEN count(*) OVER (PARTITION BY name) > 1 THEN ' ' || policy ELSE '' END
       AS name
FROM (SELECT policy, arg_min(name, created_at) AS name
      FROM policies JOIN artifacts USING (artifact_id) GROUP BY policy)
