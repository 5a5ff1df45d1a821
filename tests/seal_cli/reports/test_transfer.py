"""Rewards by writer and student, and by prompt: by hand, four passages, two self-edits each."""

import statistics
from pathlib import Path
from typing import Any

import pytest
from stored import publish

from seal_cli.store.artifact import Artifact
from stages.domains import knowledge
from stages.identity import digest
from stages.records import Context, Policy, Record, Reward, SelfEdit

STRONG, SMALL, TEACHER = "model-1111111111111111", "model-2222222222222222", "teacher"
NAMES = {STRONG: "strong", SMALL: "small", TEACHER: "teacher"}
T975 = 3.182446  # Student's t at 3 degrees of freedom

Numbers = list[list[float | str]]  # by passage, of two self-edits: an accuracy, or what went wrong


class Store:
    """Passages, and who wrote about them and learned from that."""

    def __init__(self, root: Path) -> None:
        self.root = root
        rows: list[Record] = [
            knowledge.read({"title": f"T{i}", "context": "Text."}, ordinal=i, split="train")[0]
            for i in range(4)
        ]
        self.contexts = publish(root, "import", "contexts", rows)

    def wrote(self, policy: str, prompt: str = "rewrite") -> Artifact:
        """Two self-edits about each passage."""
        rows: list[Record] = [Policy(policy, NAMES[policy], None, 0, None, "base", None)]
        for context in self.contexts.rows(Context):
            for sample in range(2):
                name = digest(policy, prompt, context.context_id, sample)
                rows.append(
                    SelfEdit(name, context.context_id, sample, policy, 0, prompt, "p", "t", "ok",
                             None, 1, 1, "stop")
                )  # fmt: skip
        return publish(
            self.root, "generate", "self_edits", rows, [self.contexts], name=f"{policy} {prompt}"
        )

    def learned(self, edits: Artifact, student: str, numbers: Numbers, name: str = "") -> None:
        """What `seal score --student` would say; a student is named where it wrote nothing."""
        rows: list[Record] = [Policy(student, NAMES[student], None, 0, None, "base", None)]
        wrote = list(edits.rows(SelfEdit))
        for edit, number in zip(wrote, [n for pair in numbers for n in pair], strict=True):
            rows.append(_reward(edit, student, number))
        publish(self.root, "score", "rewards", rows, [edits], name=f"{student} {name}")


def _reward(edit: SelfEdit, student: str, number: float | str) -> Reward:
    ok = not isinstance(number, str)
    earned = {"invalid": -1.0, "failed": None}.get(str(number), number)
    return Reward(
        edit.self_edit_id, edit.context_id, edit.sample, edit.policy, 0, student, "exact",
        0.25, number if ok else None, 0.0 if ok else None, number - 0.25 if ok else None, earned,
        1, 4, "ok" if ok else number, None,
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


OWN: Numbers = [[0.5, 0.5], [0.75, 0.25], [1.0, 0.5], [0.5, 0.0]]
THEIRS: Numbers = [[0.25, 0.25], ["failed", 0.25], [0.75, "invalid"], [0.5, 0.0]]


def test_a_cell_is_a_mean_over_contexts_and_differences_are_paired(
    store: Store, report: Any
) -> None:
    edits = store.wrote(STRONG)
    store.learned(edits, STRONG, OWN)
    store.learned(edits, SMALL, THEIRS)
    own, theirs = report("transfer")
    assert [row["writer"] for row in (own, theirs)] == ["strong", "strong"]
    assert (own["student"], theirs["student"]) == ("strong", "small")
    assert (own["self_edits"], own["contexts"], own["accuracy"]) == ("8", "4", "0.5")
    assert (own["gain"], own["baseline"], own["reward"]) == ("0.25", "0.25", "0.5")
    assert (own["against"], own["difference"], own["shared"]) == ("", "", "")
    # by passage: .25, .25 (one failed), .375 (one invalid, no answer right), .25
    accuracies = [0.25, 0.25, 0.375, 0.25]
    assert float(theirs["accuracy"]) == pytest.approx(statistics.mean(accuracies), abs=1e-4)
    assert theirs["self_edits"] == theirs["shared"] == "7"
    assert float(theirs["reward"]) == pytest.approx((0.25 + 0.25 - 0.125 + 0.25) / 4, abs=1e-4)
    # only self-edits that both were scored on: of the second passage one
    apart = [-0.25, 0.0, 0.375 - 0.75, 0.0]
    assert theirs["against"] == "strong"
    assert float(theirs["difference"]) == pytest.approx(statistics.mean(apart), abs=1e-4)
    width = T975 * statistics.stdev(apart) / 2
    assert float(theirs["difference_low"]) == pytest.approx(
        statistics.mean(apart) - width, rel=0.02
    )
    gains = [value - 0.25 for value in accuracies]
    width = T975 * statistics.stdev(gains) / 2
    assert float(theirs["gain_high"]) == pytest.approx(statistics.mean(gains) + width, rel=0.02)


def test_a_teacher_that_is_no_student_is_held_against_the_student_of_most(
    store: Store, report: Any
) -> None:
    edits = store.wrote(TEACHER)
    store.learned(edits, SMALL, [[0.5, 0.5]] * 4)
    store.learned(edits, STRONG, [[0.75, "failed"]] * 4)
    rows = {row["student"]: row for row in report("transfer")}
    assert {row["writer"] for row in rows.values()} == {"teacher"}
    assert rows["small"]["against"] == ""
    assert (rows["strong"]["against"], rows["strong"]["difference"]) == ("small", "0.25")


def test_prompts_stay_apart_and_runs_of_one_student_are_averaged(store: Store, report: Any) -> None:
    for prompt, low in (("rewrite", 0.0), ("entity-pairs", 0.5)):
        edits = store.wrote(STRONG, prompt)
        store.learned(edits, STRONG, [[low, low]] * 4)
        store.learned(edits, STRONG, [[low + 0.5, low + 0.5]] * 4, name="again")
    rows = {row["prompt"]: row for row in report("transfer")}
    assert {p: (row["accuracy"], row["self_edits"]) for p, row in rows.items()} == {
        "rewrite": ("0.25", "8"),
        "entity-pairs": ("0.75", "8"),
    }


def test_two_models_of_one_name_are_told_apart(
    store: Store, report: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NAMES, SMALL, "strong")
    edits = store.wrote(STRONG)
    store.learned(edits, STRONG, OWN)
    store.learned(edits, SMALL, OWN)
    students = {row["student"] for row in report("transfer")}
    assert students == {f"strong {STRONG}", f"strong {SMALL}"}


def test_prompts_side_by_side(store: Store, report: Any) -> None:
    store.learned(store.wrote(STRONG, "entity-pairs"), STRONG, THEIRS)
    store.learned(store.wrote(STRONG), STRONG, OWN)
    pairs, rewrite = report("prompts")
    assert (pairs["prompt"], pairs["accuracy"], pairs["best"]) == (
        "entity-pairs",
        "0.2813",
        "0.4375",
    )
    assert (pairs["self_edits"], pairs["invalid"], pairs["failed"]) == ("8", "1", "1")
    assert (rewrite["prompt"], rewrite["accuracy"], rewrite["best"]) == ("rewrite", "0.5", "0.6875")
    assert (rewrite["baseline"], rewrite["tokens"], rewrite["writer"]) == ("0.25", "1.0", "strong")


def test_it_has_a_plot(store: Store, seal: Any) -> None:
    edits = store.wrote(STRONG)
    store.learned(edits, STRONG, OWN)
    store.learned(edits, SMALL, [["failed", "failed"]] * 4)
    store.learned(store.wrote(TEACHER), SMALL, [[0.0, 0.0]] * 4)
    page = seal("report", "transfer", "-f", "html").out
    for text in ("<svg", "teacher", "0.50", "rewrite · train · exact"):
        assert text in page


def test_a_student_that_wrote_nothing_is_named(
    seal: Any, report: Any, passages: Path, random_model: Path, chat_model: Path
) -> None:
    contexts = seal("import", "contexts", passages).id
    scripted = ["--engine", "scripted", "--samples", 1]
    edits = seal("generate", contexts, "--policy", random_model, *scripted).id
    small = ["--rank", 2, "--epochs", 1, "--repeats", 1]
    seal("score", edits, *small)
    adapters = seal("adapt", edits, *small, "--student", chat_model).id
    seal("score", adapters)
    found = [(row["writer"], row["student"], row["against"]) for row in report("transfer")]
    assert found == [("random", "random", ""), ("random", "chat", "random")]
    selection = seal("filter", "@latest:score").id
    updated = seal("update", selection, "--rank", 2, "--epochs", 1).id
    query = f"select parent from policies where policy = '{updated}'"
    writer = seal("sql", "select any_value(policy) from self_edits", "-f", "csv").out.split()[-1]
    assert seal("sql", query, "-f", "csv").out.split()[-1] == writer  # the teacher is trained
