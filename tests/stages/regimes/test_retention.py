"""The retention matrix: every cell from answers, what is missing, and what it comes to."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from stages.config import ContinualConfig
from stages.eval import Measured
from stages.records import Adapter, Answer, Metric, Policy, Question, Verdict
from stages.regimes.retention import Matrix, matrix, method, metrics

DEALT = [["a", "b"], ["c", "d"]]
QUESTIONS = {
    name: [Question(f"{name}{i}", name, i, "?", ("x",)) for i in range(2)] for name in "abcd"
}
ORIGIN = Policy("update-1", "p", None, 2, None, "rest-em", None)


def answered(adapter: str | None, context: str, right: int, total: int = 2) -> list[Any]:
    """Answers to a context's two questions, the first `right` of them correct."""
    rows: list[Any] = []
    sequence, step = map(int, adapter.split(".")) if adapter else (None, 0)
    for i in range(total):
        name = f"{adapter} {context} {i}"
        method = "self-edits" if adapter else "unadapted"
        rows += [
            Answer(
                name, context, f"{context}{i}", "s", None, adapter, method, 0, "", 1,
                sequence=sequence, step=step,
            ),
            Verdict(name, context, "exact", i < right, None, None),
        ]  # fmt: skip
    return rows


def adapter(sequence: int, step: int, kl: float | None = None) -> Adapter:
    told = {} if kl is None else {"probe_accuracy": 0.5, "probe_change": -0.1, "probe_kl": kl}
    return Adapter(
        f"{sequence}.{step}", "e", DEALT[sequence][step - 1], "self-edits", "s", 0, 0, "ok", None,
        "{}", 1, 1, 1, None, None, 0.0, sequence=sequence, step=step, **told,
    )  # fmt: skip


@pytest.fixture
def rows() -> list[Any]:
    """Two sequences of two edits; the second forgets its first passage."""
    found: list[Any] = []
    for context, right in zip("abcd", (0, 1, 0, 0), strict=True):
        found += answered(None, context, right)
    found += [adapter(0, 1), *answered("0.1", "a", 2)]
    found += [adapter(0, 2), *answered("0.2", "a", 1), *answered("0.2", "b", 2)]
    found += [adapter(1, 1), *answered("1.1", "c", 2)]
    found += [adapter(1, 2), *answered("1.2", "c", 0), *answered("1.2", "d", 1)]
    return found


def of(rows: Sequence[Any], **config: Any) -> Matrix:
    config_ = ContinualConfig(edits=2, sequences=2, **config)
    return matrix(rows, dealt=DEALT, questions=QUESTIONS, grader="exact", config=config_)


def named(rows: Sequence[Any], **config: Any) -> dict[tuple[Any, ...], Metric]:
    measured = Measured(ORIGIN, "contexts-1", "continual", "exact")
    made = metrics(of(rows, **config), measured, ContinualConfig(edits=2, sequences=2, **config))
    return {(m.metric, m.step, m.position): m for m in made}


def test_every_cell_that_exists_is_there(rows: list[Any]) -> None:
    found = named(rows)
    cells = {key[1:]: m.value for key, m in found.items() if key[0] == "accuracy"}
    assert cells == {
        (0, 1): 0.0, (0, 2): 0.25, (1, 1): 1.0, (2, 1): 0.25, (2, 2): 0.75
    }  # fmt: skip
    assert {m.method for key, m in found.items() if key[1] == 0} == {"unadapted"}
    assert {m.method for key, m in found.items() if key[1] != 0} == {"self-edits"}
    assert all((m.n, m.n_failed) == (2, 0) for m in found.values())
    cell = found["accuracy", 2, 1]
    assert (cell.regime, cell.round, cell.ci_low, cell.ci_high) == ("continual", 2, None, None)


def test_what_it_comes_to(rows: list[Any]) -> None:
    found = named(rows)
    assert [found["accuracy_seen", k, None].value for k in range(3)] == [0.125, 1.0, 0.5]
    assert found["just_edited", None, None].value == pytest.approx(0.875)
    assert found["seen_after_last", None, None].value == pytest.approx(0.5)
    # Of the first passages: 1/2 and 0 after the last edit, 1 and 1 after their own.
    assert found["backward_transfer", None, None].value == pytest.approx(-0.75)


def test_what_failed_is_missing_and_counted(rows: list[Any]) -> None:
    # The second training of the second sequence failed: it has no row 2.
    kept = [
        r
        for r in rows
        if getattr(r, "adapter_id", None) != "1.2"
        and not getattr(r, "answer_id", "").startswith("1.2")
    ]
    found = named(kept)
    assert (found["accuracy", 1, 1].n, found["accuracy", 2, 1].n) == (2, 1)
    assert found["accuracy", 2, 1].n_failed == 1
    assert found["accuracy", 2, 1].value == 0.5
    assert found["just_edited", None, None].n == 1


def test_one_unanswered_question_makes_a_cell_missing(rows: list[Any]) -> None:
    kept = [r for r in rows if getattr(r, "answer_id", "") != "0.2 a 1"]
    assert of(kept).cells[0, 2, 1] is None
    assert of(kept).cells[0, 2, 2] == 1.0


def test_verdicts_of_another_grader_count_for_nothing(rows: list[Any]) -> None:
    beside = [replace(r, grader="other", correct=True) for r in rows if isinstance(r, Verdict)]
    assert of([*rows, *beside]).cells == of(rows).cells


def test_adapters_kept_apart_answer_as_on_their_own_step(rows: list[Any]) -> None:
    kept = [r for r in rows if getattr(r, "answer_id", "")[:5] not in ("0.2 a", "1.2 c")]
    found = named(kept, separate=True)
    assert found["accuracy", 2, 1].value == found["accuracy", 1, 1].value == 1.0
    assert found["backward_transfer", None, None].value == 0.0


def test_a_probe_is_told_after_each_step(rows: list[Any]) -> None:
    probed = [
        adapter(r.sequence, r.step, kl=0.1 * r.sequence) if isinstance(r, Adapter) else r
        for r in rows
    ]
    found = named(probed)
    assert found["probe_kl", 2, None].value == pytest.approx(0.05)
    assert found["probe_change", 1, None].value == pytest.approx(-0.1)
    assert ("probe_kl", 1, None) not in named(rows)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, "self-edits"),
        ({"replay": 2}, "self-edits + replay 2"),
        ({"gate": 5, "replay": 0.5}, "self-edits + replay 0.5 + clip at 5"),
        (
            {"gate": 2.5, "gate_action": "reject", "gate_on": "probe"},
            "self-edits + reject at 2.5 on probe",
        ),
        ({"separate": True}, "separate adapters"),
    ],
)
def test_the_method_has_the_countermeasures(config: dict[str, Any], expected: str) -> None:
    assert method(ContinualConfig(**config)) == expected
