"""The benchmark of the store: what it times, and what it refuses."""

import json
from pathlib import Path

import store
import typer
from typer.testing import CliRunner, Result

app = typer.Typer()
app.command()(store.store)


def run(*options: object) -> Result:
    return CliRunner().invoke(app, list(map(str, options)))


def test_it_times_what_a_person_waits_for() -> None:
    options = ["--edits", 20, "--artifacts", 4, "--runs", 1]
    said = json.loads(run(*options, "--json").stdout)
    assert (said["edits"], said["artifacts"]) == (20, 4)
    assert not Path(said["folder"]).exists()
    timed = {r["what"]: r for r in said["results"]}
    for part in ("top 10", "seal ls", "index rebuild", "commit", "journal append per row"):
        (name,) = (what for what in timed if part in what)
        assert timed[name]["seconds"] == timed[name]["least"] == timed[name]["most"] > 0
        assert timed[name]["runs"] == 1
    assert {"date", "device", "versions", "command"} <= said.keys()


def test_it_refuses_fewer_self_edits_than_artifacts() -> None:
    refused = run("--edits", 1, "--artifacts", 4)
    assert "do not fill 2 artifacts" in str(refused.exception)
