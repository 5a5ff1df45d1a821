"""The benchmark of growth: every command runs in the store that is made for it."""

import json
from pathlib import Path
from typing import Any

import growth
import growth_stores
import pytest
import typer
from typer.testing import CliRunner

from seal_cli.store.query import fetch
from seal_cli.store.workspace import Workspace
from stages.errors import ConfigError

app = typer.Typer()
app.command()(growth.growth)


def test_a_command_is_measured_in_a_process_of_its_own() -> None:
    said = json.loads(
        CliRunner().invoke(app, ["--rows", "200", "--only", "filter", "--json"]).stdout
    )
    (found,) = said
    assert list(found) == ["command", "rows", "seconds", "cpu_seconds", "peak_mb"]
    assert (found["command"], found["rows"]) == ("filter", 200)
    assert 30 < found["peak_mb"] < 1000
    assert found["seconds"] > 0


def test_what_is_not_measured_is_refused() -> None:
    refused = CliRunner().invoke(app, ["--only", "push"])
    assert isinstance(refused.exception, ConfigError)


@pytest.mark.parametrize("command", growth.COMMANDS)
def test_every_store_is_one_that_its_command_works_in(
    seal: Any, tmp_path: Path, command: str
) -> None:
    workspace = Workspace(tmp_path / "store")
    workspace.create()
    argv = growth_stores.prepared(workspace, command, 60)
    if command == "update":
        growth_stores.prepare(*argv[3:])
        return
    assert argv[: len(growth_stores.SEAL)] == list(growth_stores.SEAL)
    done = seal(*argv[len(growth_stores.SEAL) + 2 :])
    assert done.code == 0, done.err
    expected = {"report": "0.5", "sql": "reward", "ls": "import-", "hit": "filter-"}
    assert expected.get(command, "-") in done.out
    assert ("is there already" in done.err) == (command == "hit")


def test_what_was_said_belongs_together(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.create()
    growth_stores.prepared(workspace, "regrade", 60)
    query = """
        SELECT count(*) AS n FROM answers a JOIN questions q USING (question_id, context_id)
        LEFT JOIN self_edits e USING (self_edit_id) LEFT JOIN adapters d USING (adapter_id)
        WHERE (e.context_id = a.context_id AND d.self_edit_id = a.self_edit_id)
           OR a.method = 'unadapted'"""
    assert fetch(workspace, query, 60).to_pylist() == [{"n": 60}]
