"""Make a store of any size, of random text, and keep it: to try queries on, or other versions.

    python examples/benchmarks/big_store.py STORE                          # 1,000,000 self-edits
    python examples/benchmarks/big_store.py STORE --edits 9980 --pairs 499 --files 1    # small ones
    python examples/benchmarks/big_store.py STORE --edits 100 --pairs 1 --seed 1        # one more

`made_up.py` says what is in it; `store.py` makes one itself and times it.
"""

import argparse
from pathlib import Path

from made_up import make

from seal_cli.store.workspace import Workspace


def main() -> None:
    """Make or extend the store that the arguments describe."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--edits", type=int, default=1_000_000, help="self-edits in all")
    parser.add_argument("--pairs", type=int, default=50, help="artifacts of self-edits")
    parser.add_argument("--files", type=int, default=4, help="Parquet files of each artifact")
    parser.add_argument("--words", type=int, default=40, help="words of a self-edit")
    parser.add_argument("--seed", type=int, default=0, help="another one gives other artifacts")
    given = parser.parse_args()
    workspace = Workspace(given.store)
    made = make(
        workspace, given.edits, given.pairs, files=given.files, words=given.words, seed=given.seed
    )
    print(f"{made} self-edits made; {len(workspace.ids())} artifacts in {workspace.root}")


if __name__ == "__main__":
    main()
