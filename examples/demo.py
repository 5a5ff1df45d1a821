"""`examples/demo.sh` from Python: the same rounds, with the same ids, and their rows as frames.

    python examples/demo.py                     # minutes; where demo.sh was run: seconds
    SEAL_STORE=/tmp/store python examples/demo.py

Run it as it is, or a part at a time: an editor takes what begins with `# %%` for the cells of a
notebook.
"""

# %% A store, and settings. What is not given here is not read: no seal.toml, no SEAL_* variable.
import os

from seal_cli.api import Seal

seal = Seal(os.environ.get("SEAL_STORE", "demo-store"), {"filter": {"rule": "best-of-n"}})

# %% `seal loop --contexts tiny`: two rounds on the shipped model. A setting has its flag's name.
rounds = seal.loop("tiny", rounds=2)
print(rounds.pandas()[["number", "accuracy", "gain", "gain_low", "gain_high"]])

# %% Any artifact by its id; its tables as Arrow, pandas or records.
policy = seal.artifact(rounds)
metrics = seal.artifact(rounds.pandas()["metrics"].iloc[-1])
print(policy.id, policy.records()[0]["n_examples"], "examples learned")
print(metrics.pandas()[["method", "metric", "value", "ci_low", "ci_high", "n"]])

# %% SQL over the whole store; `$name` is a parameter.
print(
    seal.sql(
        "SELECT round, avg(reward) AS reward, stddev(reward) AS deviation, count(*) AS n "
        "FROM rewards WHERE grader = $grader GROUP BY round ORDER BY round",
        grader="offline-2",
    )
)

# %% The stages one by one, as `examples/loop.sh` has them. A result goes where an id does.
contexts = seal.import_contexts("tiny", split="train")
edits = seal.generate(contexts, policy, samples=5, limit=8, offset=16)
rewards = seal.score(edits)
selection = seal.filter(rewards, rule="top-k", keep=2)
print(selection.pandas().groupby("kept")["reward"].describe())
