"""How a policy is measured: macro means, paired gains, intervals, and what does not count."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from stages.config import ScoreConfig
from stages.domains import knowledge
from stages.engines.scripted import ScriptedEngine
from stages.eval import Measured, evaluate, probed, summarise
from stages.exam import Examiner
from stages.grading import GRADERS
from stages.records import Adapter, Answer, Context, Metric, Policy, Question, SelfEdit, Verdict


def records(
    context: Context, adapter_id: str | None, correct: Sequence[bool | None], self_edit: bool = True
) -> list[Any]:
    """One examination by hand: the adapter (unless unadapted), answers and verdicts."""
    edit = "edit" if self_edit and adapter_id else None
    method = "self-edits" if edit else "passage-only" if adapter_id else "unadapted"
    rows: list[Any] = []
    if adapter_id:
        rows.append(_adapter(context, adapter_id, edit))
    for i, verdict in enumerate(correct):
        name = f"{context.context_id} {adapter_id} {i}"
        rows += [
            Answer(name, context.context_id, f"q{i}", "s", edit, adapter_id, method, 0, "", 1),
            Verdict(name, context.context_id, "exact", verdict, None, None),
        ]
    return rows


def _adapter(context: Context, name: str, edit: str | None, status: str = "ok") -> Adapter:
    method = "self-edits" if edit else "passage-only"
    return Adapter(
        name, edit, context.context_id, method, "s", 0, 0, status, None, "{}", 1, 1, 1, None, None,
        0.0,
    )  # fmt: skip


@pytest.fixture
def three(world: list[tuple[Context, list[Question]]]) -> list[Context]:
    (one, _), (two, _) = world
    return [one, two, replace(one, context_id="third", ordinal=2)]


@pytest.fixture
def run(three: list[Context], policy: Policy) -> Callable[..., dict[tuple[str, str], Metric]]:
    """`run(records, n_questions)`: metrics by method and name."""

    def go(
        rows: Sequence[Any], n_questions: Sequence[int] = (2, 2, 2)
    ) -> dict[tuple[str, str], Metric]:
        question = Question("q", "c", 0, "?", ("x",))
        questions = {c.context_id: [question] * n for c, n in zip(three, n_questions, strict=True)}
        measured = Measured(policy, "contexts-1", "single", "exact")
        metrics = summarise(rows, questions=questions, measured=measured)
        return {(m.method, m.metric): m for m in metrics}

    return go


def test_the_mean_is_over_contexts_and_not_over_questions(run: Any, three: list[Context]) -> None:
    rows = (
        records(three[0], None, [True])
        + records(three[1], None, [False] * 3)
        + records(three[2], None, [True, False])
    )
    metric = run(rows, n_questions=(1, 3, 2))["unadapted", "accuracy"]
    assert metric.value == pytest.approx(0.5)  # the micro mean would be 2/6
    assert (metric.n, metric.n_questions, metric.n_failed) == (3, 6, 0)
    assert (metric.regime, metric.dataset, metric.grader) == ("single", "contexts-1", "exact")
    assert (metric.step, metric.position) == (None, None)


def test_each_method_has_its_accuracy_and_its_gain(run: Any, three: list[Context]) -> None:
    rows: list[Any] = []
    for context in three:
        rows += records(context, None, [False, False])
        rows += records(context, f"p {context.ordinal}", [True, False], self_edit=False)
        rows += records(context, f"e {context.ordinal}", [True, True])
    found = run(rows)
    assert {key: metric.value for key, metric in found.items()} == {
        ("unadapted", "accuracy"): 0.0,
        ("passage-only", "accuracy"): 0.5,
        ("passage-only", "gain"): 0.5,
        ("self-edits", "accuracy"): 1.0,
        ("self-edits", "gain"): 1.0,
    }


def test_several_adapters_of_a_context_are_averaged_first(run: Any, three: list[Context]) -> None:
    rows = records(three[0], "a", [True, True]) + records(three[0], "b", [False, False])
    rows += records(three[1], "c", [True, True])
    metric = run(rows)["self-edits", "accuracy"]
    assert (metric.value, metric.n, metric.n_failed) == (0.75, 2, 1)


def test_a_gain_is_paired_by_context(run: Any, three: list[Context]) -> None:
    # Accuracies spread over contexts, gains do not: a paired interval has no width.
    rows: list[Any] = []
    three.append(replace(three[0], context_id="fourth", ordinal=3))
    pairs = [([0, 0], [1, 0]), ([0, 1], [1, 1]), ([0, 0], [0, 1]), ([1, 0], [1, 1])]
    for context, (before, after) in zip(three, pairs, strict=True):
        rows += records(context, None, list(map(bool, before)))
        rows += records(context, f"e {context.ordinal}", list(map(bool, after)))
    found = run(rows, (2, 2, 2, 2))
    gain, accuracy = found["self-edits", "gain"], found["self-edits", "accuracy"]
    assert (gain.value, gain.ci_low, gain.ci_high) == (0.5, 0.5, 0.5)
    assert accuracy.ci_low < accuracy.ci_high


def test_a_context_that_failed_is_left_out_and_counted(run: Any, three: list[Context]) -> None:
    rows = records(three[0], None, [True, True])
    rows += records(three[1], None, [True, None])  # could not be judged
    rows += records(three[2], None, [True])  # one of its two questions was not answered
    rows += [*records(three[0], "a", [True, True]), _adapter(three[0], "b", "edit", "failed")]
    rows += records(three[1], "c", [False, False])
    found = run(rows)
    unadapted, adapted = found["unadapted", "accuracy"], found["self-edits", "accuracy"]
    assert (unadapted.value, unadapted.n, unadapted.n_failed) == (1.0, 1, 2)
    # One of the two adapters of the first context failed: the context does not count.
    assert (adapted.value, adapted.n, adapted.n_failed) == (0.0, 1, 2)
    gain = found["self-edits", "gain"]
    assert (gain.value, gain.ci_low, gain.n, gain.n_failed) == (None, None, 0, 3)


def test_an_invalid_self_edit_answers_nothing_right(run: Any, three: list[Context]) -> None:
    rows = records(three[0], None, [True, True]) + records(three[1], "a", [True, True])
    rows += [_adapter(three[0], "b", "edit", "invalid")]
    found = run(rows)
    accuracy, gain = found["self-edits", "accuracy"], found["self-edits", "gain"]
    assert (accuracy.value, accuracy.n) == (0.5, 2)
    assert (gain.value, gain.n) == (-1.0, 1)


def test_nothing_at_all_gives_nulls_and_not_zeros(run: Any) -> None:
    found = run([])
    assert len(found) == 5
    for metric in found.values():
        assert (metric.value, metric.ci_low, metric.ci_high, metric.n) == (None, None, None, 0)
        assert metric.n_failed == 3


def test_the_three_methods_are_examined_on_every_context(
    world: list[tuple[Context, list[Question]]],
    questions: dict[str, list[Question]],
    edit: Callable[..., SelfEdit],
) -> None:
    chosen = [context for context, _ in world]

    def adapt(edits: Sequence[SelfEdit]) -> Any:
        for row in edits:
            (context,) = (c for c in chosen if c.context_id == row.context_id)
            yield _adapter(context, f"e {context.ordinal}", row.self_edit_id), None

    examiner = Examiner(
        "s", ScriptedEngine(lambda r: "1871"), knowledge, GRADERS["exact"], ScoreConfig()
    )
    rows = list(
        evaluate(
            chosen,
            questions=questions,
            examiner=examiner,
            write=lambda some: [edit(context) for context in some],
            adapt=adapt,
            adapt_to_passages=lambda some: (
                (_adapter(c, f"p {c.ordinal}", None), None) for c in some
            ),
        )
    )
    for context in chosen:
        own = [row for row in rows if row.context_id == context.context_id]
        assert len(own) == 15
        methods = [row.method for row in own if isinstance(row, Answer)]
        assert methods == ["unadapted"] * 2 + ["passage-only"] * 2 + ["self-edits"] * 2
    assert sum(isinstance(row, SelfEdit) for row in rows) == 2


def test_what_became_of_a_probe_is_told_by_method(three: list[Context], policy: Policy) -> None:
    def asked(context: Context, edit: str | None, after: float | None, kl: float | None) -> Adapter:
        row = _adapter(context, f"{edit} {context.ordinal} {after}", edit)
        change = None if after is None else after - 0.5
        return replace(row, probe_accuracy=after, probe_change=change, probe_kl=kl)

    rows = [
        asked(three[0], "e", 0.5, 0.1),
        asked(three[0], "e", 0.25, 0.3),
        asked(three[1], "e", 0.0, 0.4),
        asked(three[2], "e", None, None),
        asked(three[0], None, 0.5, 0.0),
        _adapter(three[1], "bad", "e", "invalid"),
    ]
    measured = Measured(policy, "contexts-1", "single", "exact")
    found = {(m.method, m.metric): m for m in probed(rows, measured)}
    assert found["unadapted", "probe_accuracy"].value == 0.5
    change = found["self-edits", "probe_change"]
    assert (change.value, change.n, change.n_failed) == (-0.3125, 2, 1)
    assert found["self-edits", "probe_kl"].value == pytest.approx(0.3)
    assert found["passage-only", "probe_change"].value == 0.0
    assert [m.value for m in probed([], measured) if m.method == "unadapted"] == []
