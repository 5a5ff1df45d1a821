"""A loop in processes of its own, each with little time, ends as one with all the time it takes."""

from pathlib import Path
from typing import Any

from reading import tables_of

SETS = ["generate.engine=scripted", "adapt.epochs=1", "adapt.rank=2", "update.rank=2"]


def test_a_loop_in_pieces_ends_the_same(
    forks: Any, random_model: Path, passages: Path, tmp_path: Path
) -> None:
    calm, store = tmp_path / "calm", tmp_path / "store"
    contexts = forks("import", "contexts", passages, store=calm).id
    assert forks("import", "contexts", passages, store=store).id == contexts
    command = [
        "loop", "--contexts", contexts, "--policy", random_model, "--rounds", 1, "--limit", 3,
        "--samples", 2, "--repeats", 1, "--slots", 1, "--eval-limit", 2,
        *(arg for pair in SETS for arg in ("--set", pair)),
    ]  # fmt: skip
    expected = forks(*command, store=calm).id
    pieces = 0
    for seconds in (0.001, *(0.5 * n for n in range(1, 100))):
        ended = forks(*command, "--budget", f"{seconds}s", store=store)
        if ended.code == 0:
            break
        pieces += 1
        assert ended.code == 5, ended.err
        assert ended.out == ""
        assert "Run the same command to go on" in ended.err
    assert pieces >= 1
    assert ended.id == expected
    assert list((store / "work").iterdir()) == []
    for artifact in (store / "artifacts").iterdir():
        assert tables_of(artifact) == tables_of(calm / "artifacts" / artifact.name)
