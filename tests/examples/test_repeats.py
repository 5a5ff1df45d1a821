"""Runs saved by racing, replayed on stored answers."""

import json
from pathlib import Path
from typing import Any

import pytest
import repeats
import typer
from typer.testing import CliRunner, Result

app = typer.Typer()
app.command()(repeats.repeats)


def run(*options: object) -> Result:
    return CliRunner().invoke(app, list(map(str, options)))


def test_repeats_are_replayed_from_stored_answers(scored: Any, tmp_path: Path) -> None:
    """Runs of good (1, 1), mixed (.5, .5) and bad (0, 0): whoever chooses, chooses good."""
    plot = tmp_path / "curve.svg"
    said = json.loads(run(scored.root, scored.rewards.id, "--json", "--plot", plot).stdout)
    assert (said["contexts"], said["self_edits"], said["runs"]) == (1, 3, 2)
    by_policy = {result["policy"]: result for result in said["results"]}
    assert by_policy["all runs"]["saved"] == 0
    assert by_policy["1 for each"]["saved"] == 0.5
    assert by_policy["halving 0.5"]["saved"] == pytest.approx(1 / 6)
    assert {result["regret"] for result in said["results"]} == {0}
    assert plot.read_text().startswith("<svg")
    assert "halving 0.5" in run(scored.root, scored.rewards.id).stdout


def test_repeats_need_runs_to_replay(scored: Any) -> None:
    result = run(scored.root, scored.self_edits.id)
    assert "not rewards" in str(result.exception)


def test_repeats_of_the_release(seal: Any, released: Path) -> None:
    query = "select artifact_id from artifacts where source like '%/rank_iter0.json'"
    rewards = seal("sql", query, "-f", "csv", store=released).out.split()[-1]
    said = json.loads(run(released, rewards, "--json").stdout)
    assert (said["contexts"], said["self_edits"], said["runs"]) == (50, 250, 3)
    by_policy = {result["policy"]: result for result in said["results"]}
    # Published: chosen by two runs, a self-edit earns .427 in the third (random .402).
    assert by_policy["all runs"]["held_out_reward"] == pytest.approx(0.427, abs=0.01)
    for narrow, wide in (("bounds 0.5", "2 for each"), ("bounds 0.5", "halving 0.5")):
        assert by_policy[narrow]["regret"] < by_policy[wide]["regret"]
    assert by_policy["bounds 0.5"]["saved"] > 0.25
    assert by_policy["bounds 0.5"]["regret"] < 0.01
    assert by_policy["halving 0.4"]["saved"] == pytest.approx(1 - 7 / 15)  # 5, 2, and one is left
