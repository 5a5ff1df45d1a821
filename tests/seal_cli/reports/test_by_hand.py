"""The reports on evaluations made by hand: they must say what `metrics` says, whatever went wrong.

Eight contexts; of the self-edits two are invalid, one adapter failed, one answer failed. Two base
models, two prompts, two rounds with two seeds, and regrades.
"""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from stored import publish

from seal_cli.store.artifact import Artifact
from stages import eval as stage
from stages.domains import knowledge
from stages.exam import judge
from stages.grading import GRADERS
from stages.identity import digest
from stages.records import (
    Adapter,
    Answer,
    Context,
    Metric,
    Policy,
    Question,
    Record,
    SelfEdit,
    Status,
)

ONE, OTHER, TRAINED, AGAIN = (
    "model-1111111111111111",
    "model-2222222222222222",
    "update-1",
    "update-2",
)
POLICIES = {
    ONE: Policy(ONE, "one", None, 0, None, "base", None),
    OTHER: Policy(OTHER, "other", None, 0, None, "base", None),
    TRAINED: Policy(TRAINED, "one@round1", ONE, 1, "w", "rest-em", None),
    AGAIN: Policy(AGAIN, "one@round1", ONE, 1, "w", "rest-em", None),
}
EXACT = GRADERS["exact"]


@pytest.fixture
def contexts(tmp_path: Path) -> Artifact:
    rows: list[Record] = []
    for i in range(8):
        questions = [
            {"question": "When?", "answer": f"18{i}1"},
            {"question": "What?", "answer": f"ship {i}"},
        ]
        passage = {"title": f"T{i}", "context": f"Text {i}.", "questions": questions}
        context, asked = knowledge.read(passage, ordinal=i, split="eval")
        rows += [context, *asked]
    return publish(tmp_path / "store", "import", "contexts", rows)


class Evaluation:
    """The rows of one evaluation: who wrote, with which prompt, and how much it learned."""

    def __init__(
        self,
        policy: str,
        learned: int,
        prompt: str = "implications",
        seed: int = 0,
        student: str | None = None,
    ) -> None:
        """Of `learned` contexts the self-edits teach the answers; `trouble` is by context."""
        self.policy, self.learned, self.prompt, self.seed = policy, learned, prompt, seed
        self.student = student or policy
        self.hyperparameters, self.regime = "{}", "single"
        self.rows: list[Record] = []
        self.trouble: dict[int, str] = {}

    def examine(self, i: int, context: Context, asked: Sequence[Question]) -> None:
        """One context by the three methods."""
        self._answers(asked, ["no"] * 2, "unadapted", None, None)
        trouble = self.trouble.get(i, "ok")
        untaught = trouble == "failed passage"
        passage = self._adapter(f"p{i}", context, None, "failed" if untaught else "ok")
        if not untaught:
            self._answers(asked, [asked[0].answers[0], "no"], "passage-only", None, passage)
        edit = SelfEdit(
            digest(self.policy, self.prompt, self.seed, i), context.context_id, 0, self.policy,
            POLICIES[self.policy].round, self.prompt, "p", "t", "ok", None, 1, 1, "stop",
        )  # fmt: skip
        self.rows.append(edit)
        status: Status = "invalid" if trouble == "invalid" else "ok"
        if trouble == "failed adapter":
            status = "failed"
        adapter = self._adapter(f"s{i}", context, edit.self_edit_id, status)
        if status == "ok":
            right = [a.answers[0] if i < self.learned else "no" for a in asked]
            failed = trouble == "failed answer"
            self._answers(asked, right, "self-edits", edit.self_edit_id, adapter, failed=failed)

    def _adapter(self, name: str, context: Context, edit: str | None, status: Status) -> str:
        name = f"{name} {self.policy} {self.student} {self.prompt} {self.seed}"
        self.rows.append(
            Adapter(name, edit, context.context_id, "self-edits" if edit else "passage-only",
                    self.student, 0, 0, status, None, self.hyperparameters, 1, 1, 1, None, None,
                    0.0)
        )  # fmt: skip
        return name

    def _answers(
        self, asked: Sequence[Question], texts: Sequence[str], method: str, edit: str | None,
        adapter: str | None, *, failed: bool = False,
    ) -> None:  # fmt: skip
        for j, (question, text) in enumerate(zip(asked, texts, strict=True)):
            status: Status = "failed" if failed and j == 1 else "ok"
            answer = Answer(
                digest(self.student, adapter, question.question_id, text), question.context_id,
                question.question_id, self.student, edit, adapter, method, 0, text, 1, status,
            )  # fmt: skip
            self.rows.append(answer)
            if status == "ok":
                self.rows += judge(EXACT, [(question, answer)])

    def publish(self, store: Path, contexts: Artifact) -> Artifact:
        """As `seal eval` would."""
        asked: dict[str, list[Question]] = {}
        for question in contexts.rows(Question):
            asked.setdefault(question.context_id, []).append(question)
        for i, context in enumerate(contexts.rows(Context)):
            self.examine(i, context, asked[context.context_id])
        measured = stage.Measured(POLICIES[self.policy], contexts.id, self.regime, "exact")
        metrics = list(stage.summarise(self.rows, questions=asked, measured=measured))
        name = f"{self.policy} {self.student} {self.prompt} {self.seed}"
        rows = [POLICIES[self.policy], *self.rows, *metrics]
        return publish(store, "eval", "metrics", rows, [contexts], name=name)


@pytest.fixture
def ask(seal: Any) -> Any:
    import json

    def rows(query: str) -> list[dict[str, Any]]:
        result = seal("sql", query, "-f", "json")
        assert result.code == 0, result.err
        return [json.loads(line) for line in result.out.splitlines()]

    return rows


MEANS = "select method, grader, avg(accuracy) as value, count(*) as n from accuracies group by all"


def test_accuracies_are_what_metrics_are_made_of(
    seal: Any, ask: Any, tmp_path: Path, contexts: Artifact
) -> None:
    evaluation = Evaluation(ONE, learned=8)
    evaluation.trouble = {0: "invalid", 1: "invalid", 2: "failed adapter", 3: "failed answer"}
    evaluation.trouble[4] = "failed passage"
    artifact = evaluation.publish(tmp_path / "store", contexts)
    stored = {m.method: m for m in artifact.rows(Metric) if m.metric == "accuracy"}
    assert (stored["self-edits"].value, stored["self-edits"].n) == (pytest.approx(4 / 6), 6)
    assert stored["passage-only"].n == 7
    for row in ask(MEANS):
        metric = stored[row["method"]]
        assert (row["value"], row["n"]) == (pytest.approx(metric.value), metric.n), row


def test_regrading_changes_no_count(
    seal: Any, ask: Any, tmp_path: Path, contexts: Artifact
) -> None:
    evaluation = Evaluation(ONE, learned=8)
    evaluation.trouble = {0: "invalid", 2: "failed adapter", 3: "failed answer"}
    artifact = evaluation.publish(tmp_path / "store", contexts)
    first = seal("regrade", artifact.id, "--grader", "contained").id
    again = seal("regrade", first, "--grader", "offline").id
    seal("regrade", artifact.id, "--grader", "offline")
    seal("regrade", again, "--grader", "contained")
    by_grader: dict[str, dict[str, tuple[float, int]]] = {}
    for row in ask(MEANS):
        by_grader.setdefault(row["grader"], {})[row["method"]] = (row["value"], row["n"])
    assert set(by_grader) == {"exact", "contained", "offline-2"}
    assert by_grader["exact"]["self-edits"] == (pytest.approx(5 / 6), 6)
    assert by_grader["contained"] == by_grader["offline-2"] == by_grader["exact"]
    counts = ask("select grader, count(*) as n from judgements group by all")
    assert len({row["n"] for row in counts}) == 1
    agreement = ask("select count(*) as n from judgements where grader = 'exact'")[0]["n"]
    import csv
    import io

    report = list(csv.DictReader(io.StringIO(seal("report", "grader-agreement", "-f", "csv").out)))
    assert sum(int(r["answers"]) for r in report if r["grader"] == "offline-2") == agreement
    unadapted = [r for r in report if r["method"] == "unadapted"]
    assert {(r["agreement"], r["kappa"]) for r in unadapted} == {("1.0", "")}  # all wrong, for both


@pytest.fixture
def many(tmp_path: Path, contexts: Artifact) -> Path:
    """Evaluations that a report must keep apart."""
    store = tmp_path / "store"
    Evaluation(ONE, learned=2).publish(store, contexts)
    Evaluation(ONE, learned=6, prompt="rewrite").publish(store, contexts)
    Evaluation(OTHER, learned=8).publish(store, contexts)
    Evaluation(TRAINED, learned=4).publish(store, contexts)
    Evaluation(AGAIN, learned=6).publish(store, contexts)  # another seed's first round
    Evaluation(TRAINED, learned=7, prompt="rewrite").publish(store, contexts)
    twice = [Policy(ONE, "/path/to/one", None, 0, None, "base", None)]
    publish(store, "generate", "self_edits", twice, [contexts], name="another name")
    return store


def test_rounds_keep_models_and_prompts_apart(report: Any, many: Path) -> None:
    rows = report("rounds")
    found = {
        (r["prompt"], r["round"]): (r["accuracy"], r["gain_since_0"], r["contexts"])
        for r in rows
        if r["method"] == "self-edits" and r["model"] != "other"
    }
    assert found == {
        ("implications", "0"): ("0.25", "", "8"),
        ("implications", "1"): ("0.625", "0.375", "8"),  # the mean of both seeds
        ("rewrite", "0"): ("0.75", "", "8"),
        ("rewrite", "1"): ("0.875", "0.125", "8"),
    }
    (other,) = [r for r in rows if r["method"] == "self-edits" and r["model"] == "other"]
    assert (other["accuracy"], other["gain_since_0"]) == ("1.0", "")


def test_rounds_keep_students_apart(report: Any, tmp_path: Path, contexts: Artifact) -> None:
    store = tmp_path / "store"
    Evaluation(ONE, learned=2).publish(store, contexts)
    Evaluation(TRAINED, learned=4).publish(store, contexts)
    Evaluation(TRAINED, learned=8, student=ONE).publish(store, contexts)  # the student stays
    found = [
        (r["student"], r["round"], r["accuracy"], r["gain_since_0"])
        for r in report("rounds")
        if r["method"] == "self-edits"
    ]
    assert found == [("", "0", "0.25", ""), ("", "1", "0.5", "0.25"), ("one", "1", "1.0", "0.75")]


def test_table_2_compares_within_one_model(report: Any, many: Path) -> None:
    rows = [r for r in report("paper-table2") if r["method"] == "self-edits"]
    found = sorted((r["model"], r["accuracy"], r["seal_minus_this"]) for r in rows)
    assert found == [
        ("one", "0.25", "0.375"),
        ("one@round1 update-1", "0.5", ""),  # two models of one name
        ("one@round1 update-2", "0.75", ""),
        ("other", "1.0", ""),
    ]


def test_runs_of_one_experiment_are_one_line(
    report: Any, tmp_path: Path, contexts: Artifact
) -> None:
    """Of table 2, the rounds and the prompts; the unadapted model is not counted twice."""
    store = tmp_path / "store"
    Evaluation(ONE, learned=2).publish(store, contexts)
    Evaluation(ONE, learned=4, seed=1).publish(store, contexts)
    Evaluation(ONE, learned=8, prompt="rewrite").publish(store, contexts)
    for name in ("paper-table2", "rounds"):
        rows = [r for r in report(name) if r["prompt"] != "rewrite"]
        assert [(r["method"], r["accuracy"], r["runs"]) for r in rows] == [
            ("unadapted", "0.0", "2"), ("passage-only", "0.5", "2"), ("self-edits", "0.375", "2")
        ]  # fmt: skip
    rows = report("prompt-ablation")
    assert [(r["prompt"], r["gain"], r["more_than_plain"], r["runs"]) for r in rows] == [
        ("implications", "0.375", "", "2"), ("rewrite", "1.0", "0.625", "1")
    ]  # fmt: skip


def test_a_lora_and_all_weights_are_two_experiments(
    report: Any, tmp_path: Path, contexts: Artifact
) -> None:
    store = tmp_path / "store"
    for seed, how in enumerate(('{"full": false}', '{"full": true}')):
        made = Evaluation(ONE, learned=2 + 2 * seed, seed=seed)
        made.hyperparameters, made.regime = how, "cpt"
        made.publish(store, contexts)
    rows = [r for r in report("paper-table2") if r["method"] == "self-edits"]
    assert [(r["training"], r["accuracy"]) for r in rows] == [
        ("LoRA", "0.25"), ("all weights", "0.5")
    ]  # fmt: skip


def test_intervals_are_students(report: Any, many: Path) -> None:
    (row,) = [
        r for r in report("paper-table2")
        if r["method"] == "self-edits" and r["accuracy"] == "0.25" and r["model"] != "other"
    ]  # fmt: skip
    cells = [1.0, 1.0, 0, 0, 0, 0, 0, 0]
    width = 2.364624 * statistics.stdev(cells) / 8**0.5  # Student's t at 7 degrees of freedom
    assert float(row["low"]) == max(round(0.25 - width, 4), 0)
    assert float(row["high"]) == pytest.approx(0.25 + width, abs=1e-4)


def test_the_prompt_ablation_gains_over_the_model_itself(report: Any, many: Path) -> None:
    rows = {(r["prompt"], r["student"]): r for r in report("prompt-ablation")}
    plain, rewrite = rows["implications", "one"], rows["rewrite", "one"]
    assert (plain["gain"], plain["more_than_plain"]) == ("0.25", "")
    assert (rewrite["gain"], rewrite["more_than_plain"]) == ("0.75", "0.5")
    assert rows["implications", "other"]["more_than_plain"] == ""
    assert rows["rewrite", "one@round1 update-1"]["more_than_plain"] == "0.625"


def test_tables_that_a_query_names_as_text_are_not_empty(ask: Any, many: Path) -> None:
    for query in (
        "select count(*) as n from query_table('ans' || 'wers')",
        "select sum(count)::BIGINT as n from histogram_values('ans' || 'wers', repeat)",
    ):
        assert ask(query)[0]["n"] > 0, query


def test_no_interval_is_no_bound(ask: Any, contexts: Artifact) -> None:
    bounds = "at_least_0(x) as low, at_most_1(x) as high"
    rows = ask(f"select {bounds} from (values (null::double), (-0.5), (0.5), (1.5)) v(x)")
    assert [(row["low"], row["high"]) for row in rows] == [
        (None, None), (0.0, -0.5), (0.5, 0.5), (1.5, 1.0)
    ]  # fmt: skip


@pytest.mark.parametrize("failed", [False, True])
def test_a_sequence_with_a_failed_answer_is_not_told_of(
    report: Any, tmp_path: Path, contexts: Artifact, failed: bool
) -> None:
    two = contexts.rows(Context)[:2]
    asked = {c.context_id: [q for q in contexts.rows(Question) if q.context_id == c.context_id]
             for c in two}  # fmt: skip
    made = Evaluation(ONE, learned=2)
    measured = stage.Measured(POLICIES[ONE], contexts.id, "continual", "exact")
    for step, context in enumerate(two, 1):
        name = f"step {step}"
        made.rows.append(
            Adapter(name, name, context.context_id, "self-edits", ONE, 0, 0, "ok", None,
                    '{"scale": 1.0}', 1, 1, 1, None, None, 0.0, sequence=0, step=step)
        )  # fmt: skip
        for seen in two[:step]:
            questions = asked[seen.context_id]
            lost = failed and seen is two[0] and step == 2
            right = [q.answers[0] for q in questions]
            made._answers(questions, right, "self-edits", name, name, failed=lost)
        made.rows.append(
            measured.metric("self-edits", "accuracy", [1.0], n_questions=None, n_failed=0,
                            step=step, position=step)
        )  # fmt: skip
    rows = [POLICIES[ONE], *made.rows]
    publish(tmp_path / "store", "eval", "metrics", rows, [contexts], name="sequence")
    assert [line["sequences"] for line in report("forgetting")] == ([] if failed else ["1"])
