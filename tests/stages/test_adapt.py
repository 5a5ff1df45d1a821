"""Adapters: one per self-edit and repeat, what is trained on, and what is not trained at all."""

import copy
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from arc_made import call, self_edits
from hypothesis import given, settings

from stages.adapt import Inner, Student
from stages.config import AdaptConfig
from stages.domains import Domain, knowledge
from stages.domains.arc import Arc
from stages.domains.arc.settings import ArcConfig
from stages.models import LanguageModel
from stages.records import Adapter, Context, SelfEdit
from stages.training import Job, Lora, Trained
from stages.training.reference import ReferenceTrainer

Edit = Callable[..., SelfEdit]
Rows = list[tuple[Adapter, Lora | None]]
SMALL: dict[str, Any] = {"rank": 2, "alpha": 4, "epochs": 2, "max_length": 150}


class Watched(ReferenceTrainer):
    """The reference trainer; remembers its jobs."""

    def train(self, jobs: Sequence[Job]) -> Iterator[Trained]:
        self.jobs = list(jobs)
        return super().train(jobs)


@pytest.fixture
def run(
    language_model: LanguageModel, contexts: dict[str, Context]
) -> Callable[..., tuple[Rows, list[Job]]]:
    """`run(edits or contexts, **config)`: rows with their LoRAs, and the jobs."""

    def go(items: Sequence[Any], **config: Any) -> tuple[Rows, list[Job]]:
        trainer = Watched(language_model)
        student = Student("model-1", language_model.tokenizer, ("q_proj", "v_proj"))
        inner = Inner(student, trainer, knowledge, AdaptConfig(**SMALL | config))
        if isinstance(items[0], Context):
            return list(inner.adapt_to_passages(items)), trainer.jobs
        return list(inner.adapt(items, contexts)), trainer.jobs

    return go


@pytest.fixture
def pair(contexts: dict[str, Context]) -> list[Context]:
    return list(contexts.values())


def text_of(job: Job, lm: LanguageModel) -> list[str]:
    return [lm.tokenizer.decode(row.ids) for row in job.rows]


def test_each_self_edit_gets_its_repeats_in_order(
    run: Any, pair: list[Context], edit: Edit
) -> None:
    edits = [edit(pair[0]), edit(pair[0], "It is new.", sample=1), edit(pair[1])]
    rows, jobs = run(edits, repeats=2)
    assert [(row.self_edit_id, row.repeat) for row, _ in rows] == [
        (one.self_edit_id, repeat) for one in edits for repeat in range(2)
    ]
    assert len({row.adapter_id for row, _ in rows}) == len({job.seed for job in jobs}) == 6
    assert [row.seed for row, _ in rows] == [job.seed for job in jobs]
    for row, lora in rows:
        assert (row.status, row.reason, row.student) == ("ok", None, "model-1")
        assert (row.n_sequences, row.n_steps) == (2, 4)
        assert 0 < row.last_loss < 10
        assert lora is not None
        assert all(b.abs().sum() > 0 for _, b in lora.weights.values())


def test_it_trains_on_the_lines_and_the_passage_under_the_title(
    run: Any, pair: list[Context], edit: Edit, language_model: LanguageModel
) -> None:
    (job,) = run([edit(pair[0], "It is old.\nIt has a quay.")], repeats=1, max_length=200)[1]
    assert text_of(job, language_model) == [
        "Harbour Ost\nIt is old.<|end|>",
        "Harbour Ost\nIt has a quay.<|end|>",
        f"Harbour Ost\n{pair[0].text}<|end|>",
    ]


def test_a_job_has_what_the_config_says(run: Any, pair: list[Context], edit: Edit) -> None:
    config = {"epochs": 1, "learning_rate": 0.5, "batch_size": 2, "pad_targets": "none"}
    rows, (job,) = run([edit(pair[0])], repeats=1, **config)
    assert (job.rank, job.alpha, job.targets) == (2, 4, ("q_proj", "v_proj"))
    assert (job.epochs, job.learning_rate, job.batch_size) == (1, 0.5, 2)
    said = json.loads(rows[0][0].hyperparameters)
    assert said["learning_rate"] == 0.5
    assert said["targets"] == ["q_proj", "v_proj"]
    assert not {"seed", "repeats"} & said.keys()
    assert rows[0][0].n_tokens == sum(len(row.ids) for row in job.rows)


@pytest.mark.parametrize("status", ["invalid", "failed"])
def test_a_self_edit_that_is_not_ok_is_passed_on_and_its_sibling_is_trained(
    run: Any, pair: list[Context], edit: Edit, status: str
) -> None:
    bad = edit(pair[0], "fine words", status=status, reason="because")
    rows, jobs = run([bad, edit(pair[1])], repeats=2)
    assert [(row.status, row.reason) for row, _ in rows] == [(status, "because")] * 2 + [
        ("ok", None)
    ] * 2
    assert [lora is None for _, lora in rows] == [True, True, False, False]
    assert len(jobs) == 2
    assert (rows[0][0].n_steps, rows[0][0].first_loss) == (0, None)


def test_a_text_the_domain_refuses_is_invalid_even_when_its_row_says_ok(
    run: Any, pair: list[Context], edit: Edit
) -> None:
    ((row, lora),), jobs = run([edit(pair[0], "a\x00b")], repeats=1)
    assert (row.status, lora, jobs) == ("invalid", None, [])
    assert "control" in row.reason


def test_sequences_over_the_limit_are_left_out_and_said_so(
    run: Any, pair: list[Context], edit: Edit
) -> None:
    text = "\n".join(f"Line {i}." for i in range(5))
    ((row, _),), (job,) = run([edit(pair[0], text)], repeats=1, max_sequences=3, epochs=1)
    assert (row.status, row.n_sequences, len(job.rows)) == ("ok", 3, 3)
    assert row.reason == "3 of 6 sequences over max-sequences left out"


def test_a_job_that_blows_up_is_a_failed_row_alone(
    run: Any, pair: list[Context], edit: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A learning rate the config does not allow: the first step makes the weights useless.
    edits = [edit(pair[0]), edit(pair[1])]
    good, _ = run(edits[1:], repeats=1)
    whole = Watched.train

    def train(self: Watched, jobs: Sequence[Job]) -> Iterator[Trained]:
        from dataclasses import replace

        return whole(self, [replace(jobs[0], learning_rate=float("inf")), *jobs[1:]])

    monkeypatch.setattr(Watched, "train", train)
    rows, _ = run(edits, repeats=1)
    assert (rows[0][0].status, rows[0][1], rows[0][0].last_loss) == (
        "failed",
        None,
        rows[0][0].first_loss,
    )
    assert rows[0][0].reason.startswith("loss is nan at step 2 of 4")
    assert (rows[1][0].status, rows[1][0].last_loss) == ("ok", good[0][0].last_loss)


def test_an_adapter_does_not_depend_on_its_neighbours(
    run: Any, pair: list[Context], edit: Edit
) -> None:
    edits = [edit(context, sample=i) for context in pair for i in range(2)]
    together = {row.adapter_id: (row.last_loss, lora) for row, lora in run(edits, repeats=1)[0]}
    for one in edits:
        ((row, lora),), _ = run([one], repeats=1)
        loss, other = together[row.adapter_id]
        assert loss == row.last_loss
        assert all((lora.weights[n][1] == other.weights[n][1]).all() for n in lora.weights)


def test_the_passage_alone_is_an_adapter_without_self_edit(
    run: Any, pair: list[Context], language_model: LanguageModel
) -> None:
    rows, jobs = run(pair, repeats=2, max_length=200)
    assert [(row.context_id, row.repeat) for row, _ in rows] == [
        (context.context_id, repeat) for context in pair for repeat in range(2)
    ]
    assert {row.self_edit_id for row, _ in rows} == {None}
    assert text_of(jobs[0], language_model) == [f"Harbour Ost\n{pair[0].text}<|end|>"]
    assert len({row.adapter_id for row, _ in rows}) == 4


def test_an_id_follows_what_decides_the_adapter(run: Any, pair: list[Context], edit: Edit) -> None:
    variants = [
        {},
        {"epochs": 1},
        {"learning_rate": 2e-3},
        {"seed": 1},
        {"max_sequences": 5},
        {"pad_targets": "none"},
    ]
    ids = {run([edit(pair[0])], repeats=1, **fields)[0][0][0].adapter_id for fields in variants}
    assert len(ids) == len(variants)
    assert run([edit(pair[0])], repeats=3)[0][0][0].adapter_id in ids


def test_jobs_are_what_would_be_trained(
    run: Any,
    pair: list[Context],
    edit: Edit,
    contexts: dict[str, Context],
    language_model: LanguageModel,
) -> None:
    edits = [edit(pair[0]), edit(pair[0], status="invalid", reason="because"), edit(pair[1])]
    student = Student("model-1", language_model.tokenizer, ("q_proj", "v_proj"))
    inner = Inner(student, Watched(language_model), knowledge, AdaptConfig(**SMALL))
    found = list(inner.jobs(edits, contexts))
    assert found == list(zip([edits[0], edits[2]], run(edits, repeats=1)[1], strict=True))


def test_earlier_self_edits_and_their_passages_are_learned_again(
    pair: list[Context], edit: Edit, language_model: LanguageModel, contexts: dict[str, Context]
) -> None:
    trainer = Watched(language_model)
    student = Student("model-1", language_model.tokenizer, ("q_proj", "v_proj"))
    inner = Inner(student, trainer, knowledge, AdaptConfig(**SMALL))
    new, old = edit(pair[0]), edit(pair[1], "It is\nold.")
    plain, lora = inner.rehearse(new, [], contexts)
    (own,) = trainer.jobs
    (expected, same), *_ = inner.adapt([new], contexts)
    assert replace(plain, seconds=0.0) == replace(expected, seconds=0.0)
    assert lora is not None
    assert same is not None
    for name, sides in lora.weights.items():
        assert all(a.equal(b) for a, b in zip(sides, same.weights[name], strict=True))
    row, lora = inner.rehearse(new, [old, edit(pair[1], "\x00")], contexts)
    (job,) = trainer.jobs
    assert job.rows[:2] == own.rows
    assert [text.split("\n")[0] for text in text_of(job, language_model)[2:]] == [pair[1].title] * 3
    assert (row.n_sequences, row.n_steps, row.self_edit_id) == (5, 10, new.self_edit_id)
    assert lora is not None
    unusable, nothing = inner.rehearse(edit(pair[0], "\x00"), [old], contexts)
    assert (unusable.status, nothing) == ("invalid", None)


def test_a_lone_surrogate_is_an_invalid_row(run: Any, pair: list[Context], edit: Edit) -> None:
    ((row, _),), _ = run([edit(pair[0], "half a \ud83d smiley")], repeats=1)
    assert row.status == "invalid"


def test_a_self_edit_that_was_sampled_twice_is_trained_once(
    run: Any, pair: list[Context], edit: Edit
) -> None:
    edits = [edit(pair[0]), edit(pair[1]), edit(pair[0], sample=1)]
    rows, jobs = run(edits, repeats=2)
    assert [row.self_edit_id for row, _ in rows[::2]] == [one.self_edit_id for one in edits]
    assert len({row.adapter_id for row, _ in rows}) == 6
    assert len(jobs) == 4
    for (first, lora), (second, same) in zip(rows[:2], rows[4:], strict=True):
        assert same is lora is not None
        assert (second.seed, second.last_loss) == (first.seed, first.last_loss)
        assert (first.reason, second.reason) == (None, "trained once with one just like it")


ARC = Arc()
TASK = {
    "title": "turn",
    "train": [{"input": [[i, 2]], "output": [[2, i]]} for i in (1, 3, 4)],
    "test": [{"input": [[7, 8]], "output": [[8, 7]]}],
}


def adapted(
    lm: LanguageModel, completion: str, edit: Edit, domain: Domain = ARC, **config: Any
) -> tuple[Any, list[Job]]:
    """The one adapter of an arc self-edit, and its job."""
    trainer = Watched(lm)
    context, _ = Arc().read(TASK, ordinal=0, split="")
    tokenizer = copy.copy(lm.tokenizer)
    tokenizer.chat_template = "<{% for m in messages %}{{ m.content }}{% endfor %}>"
    student = Student("s", tokenizer, ("q_proj",), chat=True)
    settled = AdaptConfig(**SMALL | {"repeats": 1, "max_length": 400} | config)
    inner = Inner(student, trainer, domain, settled)
    ((row, _),) = inner.adapt([edit(context, completion)], {context.context_id: context})
    return row, trainer.jobs


def test_a_tool_call_decides_how_it_is_trained_on(
    language_model: LanguageModel, edit: Edit
) -> None:
    row, (job,) = adapted(language_model, call(learning_rate=0.002, epochs=3), edit)
    assert (job.epochs, job.learning_rate, row.n_steps) == (3, 0.002, 3 * 9)
    assert json.loads(row.hyperparameters)["learning_rate"] == 0.002
    texts = [language_model.tokenizer.decode(one.ids) for one in job.rows]
    assert texts[0].startswith("<Find the rule")
    learned = [language_model.tokenizer.decode(one.ids[one.first_target :]) for one in job.rows]
    assert learned[:3] == [f"2 {i}<|end|>" for i in (1, 3, 4)]


MANY: dict[str, Any] = {"max_sequences": 999, "max_steps": 9999}


def lengths(lm: LanguageModel, edit: Edit) -> list[int]:
    """Of every row that the tool call below can make."""
    _, (job,) = adapted(lm, BASIC, edit, **MANY | {"max_length": 9999})
    return [len(row.ids) for row in job.rows]


BASIC = call(basic=True, epochs=1)
ANSWER = 4  # "2 1" and an end token, of the shortest rows


def test_a_row_without_a_target_is_never_trained_on_and_is_counted(
    language_model: LanguageModel, edit: Edit
) -> None:
    every = lengths(language_model, edit)
    row, (job,) = adapted(language_model, BASIC, edit, **MANY | {"max_length": min(every) - 1})
    assert all(one.n_targets > 0 for one in job.rows)
    n_cut, n = len(job.rows), len(every)
    assert 0 < n_cut == row.n_sequences < n
    assert row.reason == (
        f"{n_cut} of {n} sequences cut at max-length; "
        f"{n - n_cut} of {n} sequences without a target left out"
    )
    short = MANY | {"max_length": min(every) - ANSWER}
    row, jobs = adapted(language_model, BASIC, edit, **short)
    assert (row.status, row.n_sequences, jobs) == ("failed", 0, [])
    said = f"no token to learn from; {n} of {n} sequences without a target left out"
    assert row.reason == said
    row, jobs = adapted(language_model, BASIC, edit, **short, over_length="drop")
    assert (row.status, jobs) == ("failed", [])
    assert row.reason == said.replace("without a target", "over max-length")


def test_a_sequence_that_is_too_long_is_cut_or_dropped_for_the_next(
    language_model: LanguageModel, edit: Edit
) -> None:
    every = lengths(language_model, edit)
    middle = (min(every) + max(every)) // 2
    n_over = sum(n > middle for n in every)
    how = MANY | {"max_length": middle}
    row, (job,) = adapted(language_model, BASIC, edit, **how, over_length="drop")
    fitting = [len(one.ids) for one in job.rows]
    assert fitting == [n for n in every if n <= middle]
    assert row.reason == f"{n_over} of {len(every)} sequences over max-length left out"
    assert not any(one.cut for one in job.rows)
    how |= {"max_sequences": 30}
    assert max(every[:30]) > middle  # some of the first are over it: others take their place
    row, (job,) = adapted(language_model, BASIC, edit, **how, over_length="drop")
    assert [len(one.ids) for one in job.rows] == fitting[:30]
    row, (job,) = adapted(language_model, BASIC, edit, **how)
    assert len(job.rows) < 30
    assert [one.ids for one in job.rows if not one.cut] == [
        one.ids
        for one in adapted(language_model, BASIC, edit, **MANY)[1][0].rows[:30]
        if len(one.ids) <= middle
    ]


def test_the_schedule_is_the_configs(language_model: LanguageModel, edit: Edit) -> None:
    row, (job,) = adapted(language_model, call(), edit, schedule="cosine", warmup_steps=11)
    assert (job.schedule, job.warmup_steps) == ("cosine", 11)
    said = json.loads(row.hyperparameters)
    assert (said["schedule"], said["warmup_steps"]) == ("cosine", 11)
    assert said["arc"]["grids"] == "rows"


def test_the_student_is_trained_in_the_form_in_which_it_is_asked(
    language_model: LanguageModel, edit: Edit
) -> None:
    domain = Arc(ArcConfig(grids="lists", system_message=True))
    context, (question,) = domain.read(TASK, ordinal=0, split="")
    row, (job,) = adapted(language_model, call(), edit, domain=domain)
    texts = [language_model.tokenizer.decode(one.ids) for one in job.rows]
    system = domain.ask_system(context)
    assert texts[0].startswith(f"<{system.splitlines()[0]}")
    assert texts[0].endswith("[[1 2]] -> >[[2 1]]#<|end|>")
    assert domain.ask(context, question) == "[[7 8]] -> "
    plain_row, _ = adapted(language_model, call(), edit)
    assert plain_row.adapter_id != row.adapter_id


def test_all_tokens_are_learned_when_it_says_so(language_model: LanguageModel, edit: Edit) -> None:
    _, (job,) = adapted(language_model, call(strategy="train_using_all_tokens"), edit)
    assert {one.first_target for one in job.rows} == {0}


@pytest.mark.parametrize(
    ("completion", "bounds", "reason"),
    [
        (call(epochs=21), {}, "21 epochs, more than max-epochs 20"),
        (call(epochs=10**30), {}, "epochs, more than max-epochs 20"),
        (call(learning_rate=0.02), {}, "learning rate 0.02, more than max-learning-rate 0.01"),
        (call(epochs=3), {"max_epochs": 2}, "3 epochs, more than max-epochs 2"),
        (call(epochs=3), {"max_steps": 26}, "27 optimizer steps, more than max-steps 26"),
        ("none", {}, "not JSON"),
    ],
)
def test_outside_the_bounds_it_is_invalid_and_not_trained(
    language_model: LanguageModel, edit: Edit, completion: str, bounds: Any, reason: str
) -> None:
    row, jobs = adapted(language_model, completion, edit, **bounds)
    assert (row.status, jobs) == ("invalid", [])
    assert reason in row.reason


class Untrained:
    """A trainer that only remembers what it was asked for."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def train(self, jobs: Sequence[Job]) -> Iterator[Trained]:
        self.jobs += jobs
        return (Trained(None, 0, None, None, 0.0, None) for _ in jobs)


@pytest.fixture(scope="module")
def asked(language_model: LanguageModel, edit: Edit) -> Iterator[Callable[..., list[Job]]]:
    """`asked(completion, **bounds)`: the jobs it makes; at the end, both kinds have been met."""
    context, _ = Arc().read(TASK, ordinal=0, split="")
    student = Student("s", language_model.tokenizer, ("q_proj",))
    met: Counter[int] = Counter()

    def go(completion: str, **bounds: Any) -> list[Job]:
        trainer = Untrained()
        config = AdaptConfig(**SMALL | {"repeats": 1, "max_length": 400} | bounds)
        contexts = {context.context_id: context}
        edits = [edit(context, completion)]
        ((row, _),) = Inner(student, trainer, Arc(), config).adapt(edits, contexts)
        assert row.status == ("ok" if trainer.jobs else "invalid")
        assert trainer.jobs or row.reason
        met[len(trainer.jobs)] += 1
        return trainer.jobs

    yield go
    assert min(met[0], met[1]) > 100


@settings(max_examples=10_000)
@given(self_edits())
def test_no_self_edit_is_too_odd_and_none_trains_beyond_the_bounds(
    asked: Any, completion: str
) -> None:
    for job in asked(completion, max_epochs=5, max_learning_rate=0.005, max_steps=40):
        assert 1 <= job.epochs <= 5
        assert 0 < job.learning_rate <= 0.005
        assert job.epochs * len(job.rows) <= 40
