"""Sequences of self-edits: who is dealt, what is replayed, what the gate lets in, what stays."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.config import ContinualConfig, ScoreConfig
from stages.domains import knowledge
from stages.engines import Completion
from stages.exam import Examiner
from stages.grading import GRADERS
from stages.models import LanguageModel
from stages.probe import Probe
from stages.records import Adapter, Answer, Question, SelfEdit, Verdict
from stages.regimes.continual import Lesson, deal, evaluate, replayed
from stages.training import Lora
from stages.training.merge import merging

NAMES = [f"c{i}" for i in range(11)]


@given(edits=st.integers(1, 11), sequences=st.integers(1, 9), seed=st.integers(0, 99))
def test_a_sequence_has_no_passage_twice(edits: int, sequences: int, seed: int) -> None:
    dealt = deal(NAMES, edits=edits, sequences=sequences, seed=seed)
    assert [len(set(one)) for one in dealt] == [edits] * sequences
    assert all(set(one) <= set(NAMES) for one in dealt)
    # More sequences are these and others.
    assert deal(NAMES, edits=edits, sequences=sequences + 3, seed=seed)[:sequences] == dealt


def test_sequences_share_no_passage_while_there_are_enough() -> None:
    first, second, third = deal(NAMES, edits=5, sequences=3, seed=1)
    assert not set(first) & set(second)
    assert third not in (first, second)
    assert deal(NAMES, edits=5, sequences=3, seed=2) != [first, second, third]


def test_replay_takes_so_many_or_a_share(world: Any, edit: Callable[..., SelfEdit]) -> None:
    edits = [edit(world[0][0], sample=i) for i in range(5)]
    assert replayed(edits, 0, 1) == []
    assert len(replayed(edits, 2, 1)) == 2
    assert replayed(edits, 9, 1) == edits
    assert len(replayed(edits, 0.5, 1)) == 3  # rounded up
    assert replayed([], 3, 1) == []
    assert len({tuple(e.sample for e in replayed(edits, 2, seed)) for seed in range(9)}) > 2


class Drifting:
    """Knows every answer until the weights are further than `limit` from where they were."""

    def __init__(self, model: Any, golds: dict[str, str], limit: float) -> None:
        self.weight = model.model.layers[0].self_attn.q_proj.weight
        self.start, self.golds, self.limit = self.weight.detach().clone(), golds, limit

    def complete(self, requests: Sequence[Any], loras: Sequence[Any] = ()) -> list[Completion]:
        drift = (self.weight - self.start).norm().item()
        texts = [
            next(gold for question, gold in self.golds.items() if question in request.prompt)
            for request in requests
        ]
        return [Completion(t if drift < self.limit else "no", 1, "stop") for t in texts]


class World:
    """Four passages with two questions each, and a model that forgets them when it drifts."""

    def __init__(self, lm: LanguageModel, edit: Callable[..., SelfEdit]) -> None:
        rows = [
            {
                "title": f"T{i}",
                "context": f"Text {i}.",
                "questions": [{"question": f"Q{i}{j}?", "answer": f"A{i}{j}"} for j in range(2)],
            }
            for i in range(4)
        ]
        read = [knowledge.read(row, ordinal=i, split="s") for i, row in enumerate(rows)]
        self.contexts = [context for context, _ in read]
        self.questions: dict[str, Sequence[Question]] = {c.context_id: q for c, q in read}
        self.lm, self.edit = lm, edit
        self.golds = {q.question: q.answers[0] for _, some in read for q in some}
        self.rehearsed: list[tuple[str, list[str]]] = []

    def lora(self, size: float) -> Lora:
        """One module changed by a matrix of this norm."""
        name = "model.layers.0.self_attn.q_proj"
        n_out, n_in = self.lm.model.get_submodule(name).weight.shape
        a, b = torch.zeros(1, n_in), torch.zeros(n_out, 1)
        a[0, 0], b[0, 0] = 1.0, size
        return Lora(1, 1, {name: (a, b)})

    def lesson(
        self, sizes: Sequence[float | None], limit: float = 1.0, probe: bool = False, **config: Any
    ) -> Lesson:
        """Adapters of these sizes in turn; None is an invalid self-edit, NaN a failed training."""
        left = iter(sizes)

        def train(edit: SelfEdit, earlier: Sequence[SelfEdit] = ()) -> tuple[Adapter, Lora | None]:
            self.rehearsed.append((edit.self_edit_id, [one.self_edit_id for one in earlier]))
            size = next(left)
            status = "invalid" if size is None else "failed" if size != size else "ok"
            row = Adapter(
                "a", edit.self_edit_id, edit.context_id, "self-edits", "s", 0, 0, status, None,
                "{}", 1, 1, 1, None, None, 0.0,
            )  # fmt: skip
            return row, self.lora(size) if status == "ok" else None

        engine = Drifting(self.lm.model, self.golds, limit)
        examiner = Examiner("s", engine, knowledge, GRADERS["exact"], ScoreConfig())
        probed = None
        if probe:
            probed = Probe(self.contexts[3:], self.questions, examiner, lm=self.lm)
            assert probed.before == [1.0]
        return Lesson(
            questions=self.questions,
            examiner=examiner,
            write=lambda contexts: [self.edit(c) for c in contexts],
            rehearse=train,
            adapt=lambda edits: [train(edit) for edit in edits],
            merging=partial(merging, self.lm.model),
            config=ContinualConfig(**config),
            seed=0,
            probe=probed,
        )

    def run(self, sizes: Sequence[float | None], **config: Any) -> list[Any]:
        """The rows of one sequence of three passages."""
        return list(evaluate(5, self.contexts[:3], self.lesson(sizes, **config)))


@pytest.fixture
def made(tiny: Callable[..., LanguageModel], edit: Callable[..., SelfEdit]) -> Iterator[World]:
    lm = tiny("llama", seed=6)
    before = {name: tensor.clone() for name, tensor in lm.model.state_dict().items()}
    yield World(lm, edit)
    after = lm.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def adapters(rows: Sequence[Any]) -> list[Adapter]:
    return [row for row in rows if isinstance(row, Adapter)]


def right(rows: Sequence[Any], adapter: Adapter) -> list[int]:
    """Right answers under an adapter, of each passage that was asked, in order."""
    correct = {row.answer_id: bool(row.correct) for row in rows if isinstance(row, Verdict)}
    found: dict[str, int] = {}
    for row in rows:
        if isinstance(row, Answer) and row.adapter_id == adapter.adapter_id:
            known = found.get(row.context_id, 0)
            found[row.context_id] = known + correct[row.answer_id]
    return list(found.values())


def scales(rows: Sequence[Any]) -> list[float]:
    return [json.loads(row.hyperparameters)["scale"] for row in adapters(rows)]


def test_after_each_edit_all_passages_so_far_are_asked(made: World) -> None:
    rows = made.run([0.6, 0.6, 0.1])
    first, second, third = adapters(rows)
    # The second merge takes the model over its limit: all is forgotten, and stays so.
    assert [right(rows, one) for one in (first, second, third)] == [[2], [0, 0], [0, 0, 0]]
    assert scales(rows) == [1.0, 1.0, 1.0]
    assert [(row.sequence, row.step) for row in adapters(rows)] == [(5, 1), (5, 2), (5, 3)]
    edits = [row.self_edit_id for row in rows if isinstance(row, SelfEdit)]
    assert len(set(edits)) == 3
    assert [row.self_edit_id for row in adapters(rows)] == edits
    answers = [row.answer_id for row in rows if isinstance(row, Answer)]
    assert len(set(answers)) == len(answers) == 12
    passages = [context.context_id for context in made.contexts[:3]]
    said = [(r.sequence, r.step, r.context_id) for r in rows if isinstance(r, Answer)]
    assert said[::2] == [(5, step, about) for step in (1, 2, 3) for about in passages[:step]]
    assert {(r.scope, r.about_context_id) for r in rows if isinstance(r, Answer)} == {("own", None)}


def test_the_gate_rejects_a_merge_that_harms(made: World) -> None:
    rows = made.run([0.6, 2.0, 0.2], gate=10.0, gate_action="reject")
    assert scales(rows) == [1.0, 0.0, 1.0]
    first, second, third = adapters(rows)
    assert [right(rows, one) for one in (first, second, third)] == [[2], [2, 2], [2, 2, 2]]
    assert second.reason == "not merged: 1.000 would have become 0.000"
    assert (second.status, first.reason) == ("ok", None)
    gate = json.loads(second.hyperparameters)["gate"]
    assert gate == {"before": 1.0, "tried": {"0.0": 1.0, "1.0": 0.0}}


def test_the_gate_clips_a_merge_until_it_is_within_its_budget(made: World) -> None:
    rows = made.run([0.1, 2.0, 8.0], gate=0.0)
    # 0.1 and a quarter of 2.0 are under the limit of 1; of 8.0 not even a quarter is.
    assert scales(rows) == [1.0, 0.25, 0.0]
    reasons = [row.reason for row in adapters(rows)]
    assert reasons[1] == "merged at 0.25: 1.000 would have become 0.000"
    assert reasons[2] == "not merged: 1.000 would have become 0.000"


def test_a_budget_of_everything_lets_everything_in(made: World) -> None:
    assert scales(made.run([0.6, 2.0, 8.0], gate=100.0)) == [1.0, 1.0, 1.0]


def test_the_gate_can_mind_a_probe_instead(made: World) -> None:
    # With a probe even the first merge has something to harm.
    lesson = made.lesson([2.0, 0.3, 0.3], probe=True, gate=0.0, gate_on="probe")
    rows = list(evaluate(0, made.contexts[:3], lesson))
    assert scales(rows) == [0.25, 1.0, 0.5]
    assert [row.probe_accuracy for row in adapters(rows)] == [1.0, 1.0, 1.0]
    assert [row.probe_change for row in adapters(rows)] == [0.0, 0.0, 0.0]


def test_an_invalid_self_edit_leaves_the_model_as_it_is(made: World) -> None:
    rows = made.run([0.6, None, 0.2], gate=0.0)
    assert scales(rows) == [1.0, 0.0, 1.0]
    assert [row.status for row in adapters(rows)] == ["ok", "invalid", "ok"]
    assert [right(rows, one) for one in adapters(rows)] == [[2], [2, 2], [2, 2, 2]]


def test_a_failed_training_ends_the_sequence(made: World) -> None:
    rows = made.run([0.6, float("nan"), 0.2])
    assert [row.status for row in adapters(rows)] == ["ok", "failed"]
    assert right(rows, adapters(rows)[1]) == []


def test_replay_learns_earlier_self_edits_again(made: World) -> None:
    rows = made.run([0.1, 0.1, 0.1], replay=1)
    edits = [row.self_edit_id for row in rows if isinstance(row, SelfEdit)]
    assert [edit for edit, _ in made.rehearsed] == edits
    none, one, of_two = (earlier for _, earlier in made.rehearsed)
    assert (none, one) == ([], edits[:1])
    assert len(of_two) == 1
    assert of_two[0] in edits[:2]
    known = [json.loads(row.hyperparameters)["replayed"] for row in adapters(rows)]
    assert known == [none, one, of_two]


def test_adapters_kept_apart_are_asked_about_their_own_passage(made: World) -> None:
    rows = made.run([0.6, None, 0.6], separate=True)
    assert [len(right(rows, one)) for one in adapters(rows)] == [1, 1, 1]
    assert [row.step for row in adapters(rows)] == [1, 2, 3]
    contexts = [row.context_id for row in rows if isinstance(row, Answer)]
    assert contexts == [c.context_id for c in made.contexts[:3] for _ in range(2)]


def test_two_sequences_over_the_same_passages_share_no_id(made: World) -> None:
    rows = made.run([0.1] * 3)
    again = list(evaluate(6, made.contexts[:3], made.lesson([0.1] * 3)))
    for kind, name in ((SelfEdit, "self_edit_id"), (Adapter, "adapter_id"), (Answer, "answer_id")):
        mine, theirs = (
            {getattr(row, name) for row in some if isinstance(row, kind)} for some in (rows, again)
        )
        assert not mine & theirs


def test_what_cannot_be_examined_is_not_merged(made: World) -> None:
    class Broken(Drifting):
        def complete(self, requests: Any, loras: Any = ()) -> list[Completion]:
            far = (self.weight - self.start).norm().item() > 0.5
            found = super().complete(requests, loras)
            return [replace(one, error="no room") if far else one for one in found]

    lesson = made.lesson([0.1, 0.6, 0.1], gate=0.0, gate_action="reject")
    broken = replace(lesson.examiner, engine=Broken(made.lm.model, made.golds, 9.0))
    rows = list(evaluate(0, made.contexts[:3], replace(lesson, examiner=broken)))
    assert scales(rows) == [1.0, 0.0, 1.0]
    assert adapters(rows)[1].reason == "not merged: 1.000 would have become an unknown accuracy"
