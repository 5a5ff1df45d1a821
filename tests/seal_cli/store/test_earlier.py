"""A store that an earlier version wrote stays readable, and says what it said.

`tests/data/earlier.tar.xz` has its artifacts: a score with a probe, evaluations in the regimes cpt
and continual, and few-shot with an oracle. They were made before rows said for which context they
are.
"""

import json
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from seal_cli.execution.spec import Plan
from seal_cli.pipeline.regrade import Regrade
from seal_cli.store.workspace import Workspace
from stages.records import Adapter, Answer

DATA = Path(__file__).parents[2] / "data" / "earlier.tar.xz"
SCORE, CPT = "score-123dbee2d8d2f35c", "eval-ea2580da555def50"
CONTINUAL, FEWSHOT = "eval-45c790d08e0fda10", "eval-51fce0ceb164ee12"
LEARNED = ["6627f89ec3be09fb", "6b1a345875d38d8a"]
HELD_OUT = ["babd904972834341", "de488186c45da395"]
EDIT = "f9e2ee3756e8dd00"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with tarfile.open(DATA) as archive:
        archive.extractall(tmp_path / "earlier", filter="data")
    return tmp_path / "earlier" / "seal-store"


@pytest.fixture
def ask(seal: Any, store: Path) -> Any:
    def rows(query: str) -> list[tuple[Any, ...]]:
        found = seal("sql", query, "-f", "json", store=store)
        assert found.code == 0, found.err
        return [tuple(json.loads(line).values()) for line in found.out.splitlines()]

    return rows


def test_its_artifacts_are_listed(seal: Any, store: Path) -> None:
    listed = seal("ls", store=store)
    assert listed.code == 0
    assert all(name in listed.out for name in (SCORE, CPT, CONTINUAL, FEWSHOT))


def test_its_adapters_say_their_method_and_place(ask: Any) -> None:
    found = ask(
        "SELECT artifact_id, context_id, method, sequence, step FROM adapters "
        f"WHERE artifact_id <> '{FEWSHOT}' ORDER BY ALL"
    )
    assert found == [
        (CONTINUAL, HELD_OUT[0], "self-edits", 0, 2),
        (CONTINUAL, HELD_OUT[1], "self-edits", 0, 1),
        (CPT, None, "passage-only", None, None),
        (CPT, None, "self-edits", None, None),
        *((SCORE, about, "self-edits", None, None) for about in LEARNED for _ in range(2)),
    ]


def test_its_answers_about_a_probe_say_so(ask: Any) -> None:
    found = ask(
        "SELECT scope, method, about_context_id, count(*) FROM answers "
        f"WHERE artifact_id = '{SCORE}' GROUP BY ALL ORDER BY ALL"
    )
    assert found == [
        ("own", "self-edits", None, 20), ("own", "unadapted", None, 10),
        *(("probe", "self-edits", about, 20) for about in HELD_OUT),
        *(("probe", "unadapted", about, 5) for about in HELD_OUT),
    ]  # fmt: skip
    others = f"SELECT count(*) FROM answers WHERE artifact_id <> '{SCORE}' AND scope <> 'own'"
    assert ask(others) == [(0,)]
    asked = f"SELECT method, asked FROM experiments WHERE artifact_id = '{SCORE}' ORDER BY ALL"
    assert ask(asked) == [("self-edits", 10), ("unadapted", 10)]


@pytest.mark.parametrize("record", [Adapter, Answer])
def test_records_are_read_as_the_views_show_them(ask: Any, store: Path, record: type) -> None:
    table = {Adapter: "adapters", Answer: "answers"}[record]
    names = {Adapter: "adapter_id, context_id, method, sequence, step",
             Answer: "answer_id, context_id, scope, about_context_id, method"}[record]  # fmt: skip
    workspace = Workspace(store)
    read = Counter(
        tuple(getattr(row, name) for name in names.split(", "))
        for artifact in (SCORE, CPT, CONTINUAL, FEWSHOT)
        for row in workspace.artifact(artifact).rows(record)
    )
    assert read == Counter(ask(f"SELECT {names} FROM {table}"))


def test_its_reports_say_what_they_said(report: Any, store: Path) -> None:
    def told(name: str, *columns: str) -> list[tuple[str, ...]]:
        return [tuple(line[column] for column in columns) for line in report(name, store=store)]

    forgetting = told("forgetting", "edits", "sequences", "just_edited", "seen_after_last")
    assert forgetting == [("2", "1", "0.4", "0.3")]
    assert told("continual", "step", "seen", "1", "2") == [
        ("0", "0.1", "0.2", "0.0"),
        ("1", "0.8", "0.8", ""),
        ("2", "0.3", "0.6", "0.0"),
    ]
    assert told("paper-table2", "regime", "method", "accuracy", "runs") == [
        ("cpt", "unadapted", "0.1", "1"),
        ("cpt", "passage-only", "0.1", "1"),
        ("cpt", "self-edits", "0.2", "1"),
    ]
    scored = [line[1:] for line in told("empty-answers", "artifact_id", "method", "answers")
              if line[0] == SCORE]  # fmt: skip
    assert scored == [("self-edits", "20"), ("unadapted", "10")]


def test_its_rewards_are_explained_and_judged_again(
    seal: Any, ask: Any, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Regrade, "plan", lambda *_: Plan(batch=1))  # as under a slow judge
    why = json.loads(seal("why", EDIT, "--json", store=store).out)
    assert len(why["questions"]) == 5
    assert why["changes"] == {"learned": 1, "still wrong": 4}
    again = seal("regrade", SCORE, "--grader", "contained", store=store).id
    found = ask(
        "SELECT self_edit_id, reward, gain, probe_baseline, probe_accuracy FROM rewards "
        f"WHERE artifact_id = '{again}' ORDER BY 1"
    )
    assert found == [
        ("1faeeef969aa137a", 0.0, 0.0, 0.1, 0.0),
        ("3c7ec6226982b21a", 0.0, 0.0, 0.1, 0.1),
        ("bceefef9ea286b84", 0.0, 0.0, 0.1, 0.1),
        (EDIT, 0.2, 0.2, 0.1, 0.1),
    ]
