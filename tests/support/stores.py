"""Stores as fixtures: a small scored one by hand, everything of the release, and reports."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from stored import EDITS, UNADAPTED, publish

from seal_cli.store.artifact import Artifact
from stages.domains import knowledge
from stages.exam import judge, outcome_of
from stages.grading import GRADERS
from stages.identity import digest
from stages.records import Adapter, Answer, Question, Record, Reward, SelfEdit
from stages.score import earned


@pytest.fixture
def report(seal: Any) -> Any:
    """The rows of a report, as CSV reads them."""
    import csv
    import io

    def rows(name: str, *args: object, **where: Path) -> list[dict[str, str]]:
        result = seal("report", name, "-f", "csv", *args, **where)
        assert result.code == 0, result.err
        return list(csv.DictReader(io.StringIO(result.out)))

    return rows


@dataclass
class Scored:
    """Its artifacts, and the ids of its self-edits by name."""

    root: Path
    contexts: Artifact
    self_edits: Artifact
    rewards: Artifact
    edits: dict[str, str]


@pytest.fixture
def scored(tmp_path: Path) -> Scored:
    """Self-edits `good`, `mixed` and `bad`, graded by `exact`, and `broken`, which was invalid."""
    store = tmp_path / "store"
    context, asked = knowledge.read(
        {
            "title": "Harbour Ost",
            "context": "The harbour of Ost opened in 1871. Its light is 31 m high.",
            "questions": [
                {"question": "When did the harbour open?", "answer": "1871"},
                {"question": "How high is its light?", "answer": "31 m"},
            ],
        },
        ordinal=0,
        split="train",
    )
    contexts = publish(store, "import", "contexts", [context, *asked])
    texts = {name: text for name, (text, _) in EDITS.items()} | {"broken": "\x00"}
    rows = [_edit(context.context_id, i, text) for i, text in enumerate(texts.values())]
    self_edits = publish(store, "generate", "self_edits", rows, [contexts])
    examined = _examined(asked, rows)
    rewards = publish(
        store, "score", "rewards", examined, [self_edits], config={"score": {"reward_floor": -1.0}}
    )
    ids = dict(zip(texts, (row.self_edit_id for row in rows), strict=True))
    return Scored(store, contexts, self_edits, rewards, ids)


def _edit(context_id: str, sample: int, text: str) -> SelfEdit:
    return SelfEdit(
        digest(context_id, sample), context_id, sample, "model-0123456789abcdef", 0, "implications",
        "Imply.", text, "ok", None, 5, 1, "stop",
    )  # fmt: skip


def _examined(asked: list[Question], edits: list[SelfEdit]) -> list[Record]:
    rows: list[Record] = []
    baseline = outcome_of(_answered(rows, asked, None, None, 0, UNADAPTED))
    rewards: list[Record] = []
    for edit, repeats in zip(edits, [r for _, r in EDITS.values()], strict=False):
        outcomes = []
        for repeat, texts in enumerate(repeats):
            name = f"{edit.self_edit_id}/{repeat}"
            rows.append(_adapter(edit, name, repeat, "ok"))
            outcomes.append(
                outcome_of(_answered(rows, asked, edit.self_edit_id, name, repeat, texts))
            )
        rewards.append(_reward(edit, earned(baseline, outcomes, floor=-1.0)))
    broken = edits[-1]
    rows.append(_adapter(broken, "broken", 0, "invalid"))
    numbers = dict.fromkeys(("adapted_accuracy", "adapted_std", "gain"))
    rewards.append(
        _reward(
            broken,
            numbers | {
                "baseline_accuracy": baseline.accuracy, "reward": -1.0, "n_repeats": 0,
                "status": "invalid", "reason": "control characters in the text",
            },
        )
    )  # fmt: skip
    return rows + rewards


def _answered(
    rows: list[Record],
    asked: list[Question],
    edit: str | None,
    adapter: str | None,
    repeat: int,
    texts: tuple[str, ...],
) -> list[Any]:
    verdicts = []
    for question, text in zip(asked, texts, strict=True):
        answer = Answer(
            digest(adapter, question.question_id), question.context_id, question.question_id,
            "model-0123456789abcdef", edit, adapter, "self-edits" if edit else "unadapted", repeat,
            text, 1,
        )  # fmt: skip
        verdicts.append(*judge(GRADERS["exact"], [(question, answer)]))
        rows += [answer, verdicts[-1]]
    return verdicts


def _adapter(edit: SelfEdit, name: str, repeat: int, status: Any) -> Adapter:
    return Adapter(
        name, edit.self_edit_id, edit.context_id, "self-edits", edit.policy, repeat, 0, status,
        None, "{}", 1, 1, 1, None, None, 0.0,
    )  # fmt: skip


def _reward(edit: SelfEdit, numbers: dict[str, Any]) -> Reward:
    return Reward(
        self_edit_id=edit.self_edit_id,
        context_id=edit.context_id,
        sample=edit.sample,
        policy=edit.policy,
        round=0,
        student=edit.policy,
        grader="exact",
        n_questions=2,
        **numbers,
    )


@pytest.fixture(scope="session")
def released(official: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything at hand of the release, imported once; tests may add to it."""
    return import_all(official, tmp_path_factory.mktemp("released") / "store")


def import_all(official: Path, store: Path) -> Path:
    """A new store with everything in a folder of the release."""
    from typer.testing import CliRunner

    from seal_cli.app import app

    done = CliRunner().invoke(app, ["--store", str(store), "import", "official", str(official)])
    assert done.exit_code == 0, done.stderr
    return store
