"""One model trained on many passages: which texts, which questions, and the two ways to train."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from stages.adapt import Inner, Student
from stages.config import AdaptConfig, CptConfig, ScoreConfig
from stages.domains import knowledge
from stages.engines.transformers import TransformersEngine
from stages.errors import ConfigError
from stages.eval import Measured
from stages.exam import Examination, Examiner, rows_of
from stages.grading import GRADERS
from stages.models import LanguageModel
from stages.probe import Probe
from stages.records import Adapter, Answer, Context, Metric, Policy, Question, SelfEdit, Verdict
from stages.regimes import cpt
from stages.training import Trained
from stages.training.reference import ReferenceTrainer

ADAPTING = AdaptConfig(rank=2, alpha=4, max_length=200)


@pytest.fixture
def lm(tiny: Callable[..., LanguageModel]) -> LanguageModel:
    return tiny("llama", seed=8)


@pytest.fixture
def plan(lm: LanguageModel) -> Callable[..., Any]:
    """`plan(method, contexts, edits, **cpt)`: the row and the job."""
    student = Student("s", lm.tokenizer, ("q_proj", "v_proj"))

    def go(
        method: str, contexts: Sequence[Context], edits: Sequence[SelfEdit], **own: Any
    ) -> tuple[Adapter, Any]:
        inner = Inner(student, ReferenceTrainer(lm), knowledge, ADAPTING)
        return cpt.planned(method, contexts, edits, inner=inner, config=CptConfig(**own))

    return go


def texts(lm: LanguageModel, job: Any) -> list[str]:
    return [lm.tokenizer.decode(row.ids, skip_special_tokens=True) for row in job.rows]


def test_a_self_edit_is_one_text_and_a_passage_is_learned_once(
    plan: Any, lm: LanguageModel, world: Any, edit: Any
) -> None:
    (one, _), (two, _) = world
    edits = [edit(one, "It is old.\nIt is high."), edit(one, "So it is.", sample=1), edit(two)]
    row, job = plan(cpt.EDITS, [one, two], edits)
    assert texts(lm, job) == [
        f"Harbour Ost\n{one.text}",
        "Harbour Ost\nIt is old.\nIt is high.",
        "Harbour Ost\nSo it is.",
        f"Harbour Vik\n{two.text}",
        "Harbour Vik\nIt is old.",
    ]
    assert (row.n_sequences, row.status, row.reason) == (5, "ok", None)
    assert (row.context_id, row.self_edit_id, row.method) == (None, None, "self-edits")
    assert (job.epochs, job.learning_rate, job.batch_size) == (3, 1e-3, 8)


def test_lines_are_learned_one_by_one_where_that_is_wanted(
    plan: Any, lm: LanguageModel, world: Any, edit: Any
) -> None:
    one = world[0][0]
    edits = [edit(one, "It is old.\nIt is high.\nIt is old.")]
    _, job = plan(cpt.EDITS, [one], edits, lines=True)
    assert [t.split("\n")[1][:6] for t in texts(lm, job)] == ["The ha", "It is ", "It is "]


def test_what_cannot_be_learned_is_left_out_and_counted(plan: Any, world: Any, edit: Any) -> None:
    contexts = [context for context, _ in world]
    edits = [
        edit(contexts[0], "\x00"),
        edit(contexts[1], "", status="invalid", reason="empty"),
        edit(contexts[1], "Fine."),
    ]
    row, job = plan(cpt.EDITS, contexts, edits)
    assert len(job.rows) == 3
    assert row.reason == "2 of 3 self-edits could not be learned from"
    passages, alone = plan(cpt.PASSAGES, contexts, [])
    assert len(alone.rows) == 2
    assert passages.adapter_id != row.adapter_id


def test_passages_alone_do_not_stand_for_self_edits_that_failed(
    plan: Any, world: Any, edit: Any
) -> None:
    lost = [edit(context, "", status="failed", reason="server down") for context, _ in world]
    adapter, job = plan(cpt.EDITS, [context for context, _ in world], lost)
    assert (adapter.status, job) == ("failed", None)
    assert adapter.reason == "every self-edit failed: server down"


def test_without_a_text_there_is_no_training(plan: Any) -> None:
    row, job = plan(cpt.PASSAGES, [], [])
    assert job is None
    assert (row.status, row.reason) == ("failed", "no token to learn from")


def test_texts_that_are_too_long_are_cut_or_left_out_and_that_is_said(
    lm: LanguageModel, world: Any
) -> None:
    (one, _), (two, _) = world
    student = Student("s", lm.tokenizer, ("q_proj",))

    def planned(**adapting: Any) -> tuple[Adapter, Any]:
        how = AdaptConfig(rank=2, **adapting)
        inner = Inner(student, ReferenceTrainer(lm), knowledge, how)
        return cpt.planned(cpt.PASSAGES, [one, two], [], inner=inner, config=CptConfig())

    lengths = [len(row.ids) for row in planned(max_length=500)[1].rows]
    row, job = planned(max_length=max(lengths) - 1)
    n_over = sum(n == max(lengths) for n in lengths)
    assert row.reason == f"{n_over} of 2 sequences cut at max-length"
    assert len(job.rows) == 2
    row, job = planned(max_length=min(lengths) - 1, over_length="drop")
    assert (row.status, job) == ("failed", None)
    assert row.reason == "no token to learn from; 2 of 2 sequences over max-length left out"


def test_the_schedule_is_that_of_adapt_and_the_warm_up_a_share_or_steps(
    lm: LanguageModel, world: Any
) -> None:
    student = Student("s", lm.tokenizer, ("q_proj",))

    def job(adapting: dict[str, Any], **own: Any) -> Any:
        contexts = [context for context, _ in world]
        how = AdaptConfig(rank=2, **adapting)
        inner = Inner(student, ReferenceTrainer(lm), knowledge, how)
        config = CptConfig(epochs=10, batch_size=1, **own)
        return cpt.planned(cpt.PASSAGES, contexts, [], inner=inner, config=config)[1]

    assert (job({}).schedule, job({}).warmup_steps) == ("linear", 0)
    assert job({}, full=True).warmup_steps == 1  # 0.03 of 20 steps, rounded up
    assert job({}, full=True, warmup=0.5).warmup_steps == 10
    cosine = {"schedule": "cosine", "warmup_steps": 11}
    for own in ({}, {"full": True}):
        assert (job(cosine, **own).schedule, job(cosine, **own).warmup_steps) == ("cosine", 11)


def test_the_papers_constants_are_the_defaults() -> None:
    full = CptConfig(full=True)
    assert (full.epochs, full.learning_rate, full.batch_size, full.warmup) == (1, 7e-5, 8, 0.03)
    lora = CptConfig()
    assert (lora.epochs, lora.learning_rate, lora.batch_size, lora.warmup) == (3, 1e-3, 8, 0.0)
    assert CptConfig(full=True, epochs=4).epochs == 4
    with pytest.raises(ConfigError, match="goes with --full"):
        CptConfig(warmup=0.1)


def test_questions_are_drawn_as_the_released_code_draws_them(world: Any) -> None:
    contexts = [f"c{i}" for i in range(40)]
    questions = {c: [Question(f"{c}{j}", c, j, "?", ("x",)) for j in range(5)] for c in contexts}
    pairs = [(c, q.question_id) for c in contexts for q in questions[c]]
    random.Random(42).shuffle(pairs)
    drawn = cpt.drawn(questions, contexts, 30)
    found = {(c, q.question_id) for c, some in drawn.items() for q in some}
    assert found == set(pairs[:30])
    assert list(drawn) == [c for c in contexts if c in drawn]
    assert cpt.drawn(questions, contexts, 0) == questions
    assert cpt.drawn(questions, contexts, 1000) == questions


@pytest.mark.parametrize("full", [False, True])
def test_a_method_is_trained_asked_and_gone(
    full: bool,
    plan: Any,
    lm: LanguageModel,
    world: Any,
    questions: dict[str, list[Question]],
    policy: Policy,
    edit: Any,
) -> None:
    contexts = [context for context, _ in world]
    engine = TransformersEngine(lm)
    examiner = Examiner("s", engine, knowledge, GRADERS["exact"], ScoreConfig(answer_tokens=4))
    before = {name: tensor.clone() for name, tensor in lm.model.state_dict().items()}
    asked = [Examination(c, questions[c.context_id]) for c in contexts]
    bare = rows_of(examiner.examine(asked))
    _, some = plan(cpt.PASSAGES, contexts, [])
    rows = cpt.evaluate(
        cpt.PASSAGES,
        contexts,
        [],
        questions=questions,
        plan=lambda *what: plan(*what, full=full, epochs=20, learning_rate=1e-2),
        learn=cpt.full(lm) if full else cpt.lora(ReferenceTrainer(lm), lm),
        examiner=examiner,
        measured=Measured(policy, "d", "cpt", "exact"),
        probe=Probe(contexts[1:], questions, examiner, lm=lm, rows=some.rows),
    )
    (adapter,) = (row for row in rows if isinstance(row, Adapter))
    assert (adapter.status, adapter.n_steps) == ("ok", 20)
    assert adapter.last_loss < adapter.first_loss  # type: ignore[operator]
    assert adapter.probe_kl > 0.01  # type: ignore[operator]
    answers = [row for row in rows if isinstance(row, Answer)]
    assert {(row.method, row.scope) for row in answers} == {("passage-only", "own")}
    assert [row.context_id for row in answers[::2]] == [context.context_id for context in contexts]
    assert {row.adapter_id for row in answers} == {adapter.adapter_id}
    assert len(answers) == sum(isinstance(row, Verdict) for row in rows) == 4
    texts = [row.text for row in bare if isinstance(row, Answer)]
    assert [row.text for row in answers] != texts
    metrics = {(m.method, m.metric): m for m in rows if isinstance(m, Metric)}
    assert set(metrics) == {
        ("unadapted", "probe_accuracy"), ("passage-only", "probe_accuracy"),
        ("passage-only", "probe_change"), ("passage-only", "probe_kl"),
    }  # fmt: skip
    assert metrics["passage-only", "probe_kl"].value == adapter.probe_kl
    after = lm.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_failed_training_is_a_row_and_no_answer(
    plan: Any, lm: LanguageModel, world: Any, questions: Any, policy: Policy
) -> None:
    contexts = [context for context, _ in world]
    examiner = Examiner("s", TransformersEngine(lm), knowledge, GRADERS["exact"], ScoreConfig())

    @contextmanager
    def learn(job: Any) -> Iterator[cpt.Learned]:
        failed = Trained(None, 0, None, None, 0.0, "out of memory on 9 tokens")
        yield cpt.Learned(failed)

    (row,) = cpt.evaluate(
        cpt.PASSAGES,
        contexts,
        [],
        questions=questions,
        plan=plan,
        learn=learn,
        examiner=examiner,
        measured=Measured(policy, "d", "cpt", "exact"),
    )
    assert isinstance(row, Adapter)
    assert (row.status, row.reason) == ("failed", "out of memory on 9 tokens")
