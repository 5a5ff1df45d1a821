"""The people that the tiny model was pretrained on, as contexts: a probe of what it keeps.

`python examples/tiny_world/known.py > known.jsonl`, then `seal import contexts known.jsonl`.
"""

import json

import world


def main() -> None:
    """One row per person on stdout."""
    for person in world.make_world().known:
        print(json.dumps(world.to_row(person, "known")))


if __name__ == "__main__":
    main()
