"""Many adapters at once are the adapters of the reference trainer, job for job."""

import itertools
import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from launches import Launches
from trace_model import Trace

from stages import progress
from stages.engines import Request
from stages.engines.transformers import TransformersEngine
from stages.models import LanguageModel
from stages.records import Example
from stages.tokens import Row, row
from stages.training import Job, Lora, Objective, Trained, adam, batched, products, stack
from stages.training.attach import attached
from stages.training.batched import BatchedTrainer
from stages.training.checkpoint import checkpointed
from stages.training.objectives import OBJECTIVES
from stages.training.reference import ReferenceTrainer
from stages.training.stack import Stack

TEXTS = [
    "The harbour is old.",
    "It has a quay.",
    "Its light is 31 m high.",
    "Wide open.",
    "Ships wait outside of it for the tide to come in.",
]
WEIGHTS = (0.5, 2.0, -1.0, 1.0)
MakeJob = Callable[..., Job]


@pytest.fixture
def lm(tiny: Callable[..., LanguageModel]) -> LanguageModel:
    return tiny("llama")


@pytest.fixture
def mixed(lm: LanguageModel, make_job: MakeJob) -> list[Job]:
    """Jobs that differ in everything that a job has; most gradients are clipped, not all."""
    job = make_job(lm.tokenizer, TEXTS, alpha=64, epochs=2, learning_rate=2e-3)
    prompted = tuple(row(lm.tokenizer, Example("Imply: ", t), max_length=40) for t in TEXTS)
    weighty = tuple(replace(r, weight=w) for r, w in zip(job.rows, WEIGHTS * 9, strict=False))
    return [
        replace(job, alpha=8, seed=1),
        replace(job, rows=job.rows[:2], learning_rate=5e-3, seed=2),
        replace(job, rows=job.rows[2:], rank=2, alpha=32, epochs=3, seed=3),
        replace(job, rows=prompted, batch_size=2, rank=9, seed=4),
        replace(job, rows=job.rows[:1], epochs=7, learning_rate=5e-4, seed=5),
        replace(job, rows=job.rows[1:4], batch_size=9, seed=6),
        replace(job, rows=job.rows[3:4], epochs=1, seed=7),
        replace(job, schedule="cosine", warmup_steps=3, seed=8),
        replace(job, rows=job.rows[:3], warmup_steps=2, seed=9),
        replace(job, rows=weighty, seed=10),
    ]


def update(lora: Lora) -> torch.Tensor:
    """What a LoRA adds to its model's weights, all of it in one vector."""
    pairs = [pair for _, pair in sorted(lora.weights.items())]
    return torch.cat([(lora.alpha / lora.rank * (b @ a)).flatten() for a, b in pairs])


def error(found: Trained, expected: Trained) -> float:
    """The relative error of an adapter's update."""
    assert (found.error, found.n_steps) == (expected.error, expected.n_steps)
    assert (found.lora.rank, found.lora.alpha) == (expected.lora.rank, expected.lora.alpha)
    right = update(expected.lora)
    return ((update(found.lora) - right).norm() / right.norm()).item()


def errors(lm: LanguageModel, jobs: Sequence[Job], slots: int = 3, **how: Any) -> list[float]:
    found = list(BatchedTrainer(lm, slots, **how).train(jobs))
    expected = list(ReferenceTrainer(lm).train(jobs))
    return [error(one, other) for one, other in zip(found, expected, strict=True)]


@pytest.mark.parametrize("slots", [1, 2, 3, 16])
def test_mixed_jobs_are_trained_as_one_by_one(
    lm: LanguageModel, mixed: list[Job], slots: int
) -> None:
    assert max(errors(lm, mixed, slots)) < 1e-4


def test_without_mkls_batched_call_they_are_the_same(
    lm: LanguageModel, mixed: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "_sgemm_batch", lambda: None)
    assert max(errors(lm, mixed)) < 1e-4


@pytest.mark.parametrize("few", [0, 4096])
def test_by_padded_blocks_they_are_the_same(
    lm: LanguageModel, mixed: list[Job], few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "way_of", lambda *_, **__: products.Blocks)
    monkeypatch.setattr(products, "FEW", few)
    monkeypatch.setattr(products, "BLOCK", 16)
    assert max(errors(lm, mixed)) < 1e-4


def attention_row_by_row(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *where: Any, **how: Any
) -> torch.Tensor:
    """What torch's kernel does, by its documentation; it runs on a GPU alone."""
    (ends, _, longest, _), (back, ahead) = where, how["window_size"]
    assert (ends.dtype, ahead, longest) == (torch.int32, 0, int(ends.diff().max()))
    out = []
    for begin, end in itertools.pairwise(ends.tolist()):
        q, k, v = (x[begin:end].transpose(0, 1) for x in (query, key, value))
        k, v = (x.repeat_interleave(len(q) // len(x), 0) for x in (k, v))
        apart = torch.arange(end - begin)[:, None] - torch.arange(end - begin)[None]
        seen = (apart >= 0) & ((apart <= back) | (back < 0))
        scores = (q @ k.transpose(1, 2) * how["scale"]).masked_fill(~seen, -math.inf)
        out.append((scores.softmax(-1) @ v).transpose(0, 1))
    return torch.cat(out)


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2"])
def test_with_attention_over_rows_of_any_length_they_are_the_same(
    tiny: Callable[..., LanguageModel],
    make_job: MakeJob,
    family: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []

    def attend(*where: Any, scale: Any, window_size: Any, enable_gqa: bool) -> torch.Tensor:
        calls.append(window_size)
        return attention_row_by_row(*where, scale=scale, window_size=window_size)

    lm = tiny(family)
    monkeypatch.setattr(batched, "has_varlen", lambda _: True)
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", attend)
    jobs = [make_job(lm.tokenizer, TEXTS[i:], learning_rate=1e-3, seed=i) for i in range(3)]
    assert max(errors(lm, jobs)) < 1e-4
    assert calls
    assert any(back >= 0 for back, _ in calls) == (family == "mistral")


def test_in_float64_they_agree_to_the_last_digits(lm: LanguageModel, mixed: list[Job]) -> None:
    lm.model.double()
    found = list(BatchedTrainer(lm, 3).train(mixed))
    for one, other in zip(found, ReferenceTrainer(lm).train(mixed), strict=True):
        assert one.lora is not None
        assert other.lora is not None
        assert one.last_loss == pytest.approx(other.last_loss, abs=1e-12)
        for name, pair in other.lora.weights.items():
            for x, y in zip(one.lora.weights[name], pair, strict=True):
                assert x.dtype == torch.float64
                assert (x - y).abs().max() < 1e-12


def test_an_objective_whose_rows_do_not_add_up_is_trained_one_by_one(
    lm: LanguageModel, mixed: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Worst(Objective):
        def loss(self, rows: Any, losses: Any, n_targets: int) -> torch.Tensor:
            return torch.stack([each.mean() for each in losses]).max()

    monkeypatch.setitem(OBJECTIVES, "worst", Worst(name="worst"))
    jobs = [replace(job, objective="worst") for job in mixed[:4]]
    found, plain = (list(BatchedTrainer(lm, 3).train(some)) for some in (jobs, mixed[:4]))
    expected = list(ReferenceTrainer(lm).train(jobs))
    assert [error(one, other) for one, other in zip(found, expected, strict=True)] == [0.0] * 4
    assert found[3].first_loss > plain[3].first_loss  # of two rows the worse, not their mean


def test_every_family_and_its_linear_layers(
    any_model: LanguageModel, any_targets: tuple[str, ...], make_job: MakeJob
) -> None:
    job = make_job(any_model.tokenizer, TEXTS, targets=any_targets, learning_rate=1e-3)
    other = {"down_proj", "dense_h_to_4h", "c_fc"} & {
        name.rsplit(".", 1)[-1] for name, _ in any_model.model.named_modules()
    }
    wide = replace(job, targets=(*any_targets, *other))
    jobs = [job, wide, replace(job, rows=job.rows[:2]), replace(wide, seed=9)]
    assert max(errors(any_model, jobs)) < 1e-4


@pytest.mark.parametrize("pad_targets", ["eos", "none", "official"])
def test_every_kind_of_end(lm: LanguageModel, make_job: MakeJob, pad_targets: str) -> None:
    job = make_job(lm.tokenizer, TEXTS, pad_targets=pad_targets, learning_rate=1e-3)
    assert max(errors(lm, [job, replace(job, rows=job.rows[1:3], seed=1)])) < 1e-4


@pytest.mark.parametrize("max_tokens", [1, 30, 70])
def test_a_step_cut_into_pieces_is_the_same_step(
    lm: LanguageModel, mixed: list[Job], max_tokens: int
) -> None:
    assert max(errors(lm, mixed, 7, max_tokens=max_tokens)) < 1e-4


def test_losses_and_counts_are_those_of_the_reference(lm: LanguageModel, mixed: list[Job]) -> None:
    found = list(BatchedTrainer(lm, 4).train(mixed))
    for one, other in zip(found, ReferenceTrainer(lm).train(mixed), strict=True):
        assert (one.n_steps, one.error) == (other.n_steps, None)
        assert one.first_loss == pytest.approx(other.first_loss, rel=1e-5)
        assert one.last_loss == pytest.approx(other.last_loss, rel=1e-4)
        assert one.seconds > 0


def test_over_a_model_in_bfloat16_the_adapters_are_float32(
    lm: LanguageModel, mixed: list[Job]
) -> None:
    lm.model.to(torch.bfloat16)
    for one, other in zip(
        BatchedTrainer(lm, 3).train(mixed), ReferenceTrainer(lm).train(mixed), strict=True
    ):
        assert one.lora is not None
        assert other.lora is not None
        assert {t.dtype for pair in one.lora.weights.values() for t in pair} == {torch.float32}
        assert one.last_loss == pytest.approx(other.last_loss, rel=0.05)
        left, right = update(one.lora), update(other.lora)
        assert torch.cosine_similarity(left, right, dim=0) > 0.9


# Each of these trains wrongly, and the comparison above must notice.


def one_norm_for_all(run: Any, norms: torch.Tensor) -> None:
    UPDATE(run, norms.norm().expand(len(norms)))


def one_step_count_for_all(run: Any, norms: torch.Tensor) -> None:
    run.steps[:] = run.steps.max()
    UPDATE(run, norms)


def moments_of_the_job_before(run: Any, drawer: Any) -> None:
    before = run.first.clone(), run.second.clone()
    FILL(run, drawer)
    run.first.copy_(before[0])
    run.second.copy_(before[1])


def mean_over_the_whole_batch(run: Any) -> Any:
    whole, n_jobs = run.active, len(run.active)
    BACKWARD(run)
    counts = [sum(r.n_targets for r in plan.batch) for plan in whole]
    for slot, count in enumerate(counts):
        run.stack.gradients[slot] *= n_jobs * count / sum(counts)
    return run.stack.gradients[:n_jobs].norm(dim=1)


def rows_see_each_other(rows: Any, device: Any = "cpu", **how: Any) -> Any:
    ids = [i for r in rows for i in r.ids[:-1]]
    joined = PACK([Row((*ids, 0), 0, len(ids))], device)
    together = {name: getattr(joined, name) for name in ("buckets", "gather", "places")}
    return replace(PACK(rows, device), **together)


def tokens_of_the_wrong_slot(stack: Any, counts: Sequence[int], first: int = 0) -> None:
    ARRANGE(stack, [counts[-1], *counts[:-1]], first)


def without_warmup(job: Job, step: int, steps: int) -> float:
    return RATE(replace(job, warmup_steps=0), step, steps)


def linear_for_all(job: Job, step: int, steps: int) -> float:
    return RATE(replace(job, schedule="linear"), step, steps)


UPDATE, FILL = batched._Run._update, batched._Run._fill
BACKWARD, PACK, ARRANGE = batched._Run._backward, batched.pack, Stack.arrange
RATE = batched.learning_rate

MISTAKES = {
    "one norm for all": (batched._Run, "_update", one_norm_for_all),
    "one step count for all": (batched._Run, "_update", one_step_count_for_all),
    "moments of the job before": (batched._Run, "_fill", moments_of_the_job_before),
    "mean over the whole batch": (batched._Run, "_backward", mean_over_the_whole_batch),
    "one learning rate": (batched._Active, "learning_rate", property(lambda _: 2e-3)),
    "no decay": (batched._Active, "learning_rate", property(lambda p: p.job.learning_rate)),
    "no warm-up": (batched, "learning_rate", without_warmup),
    "linear for all": (batched, "learning_rate", linear_for_all),
    "no clipping": (adam, "MAX_GRAD_NORM", math.inf),
    "rows see each other": (batched, "pack", rows_see_each_other),
    "the wrong slot": (Stack, "arrange", tokens_of_the_wrong_slot),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_would_be_noticed(
    lm: LanguageModel, mixed: list[Job], mistake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(*MISTAKES[mistake])
    assert max(errors(lm, mixed)) > 1e-3


def spoil(job: Job, how: str) -> Job:
    """A job that ends badly: by its learning rate, or by a token whose embedding is NaN."""
    if how == "learning rate":
        return replace(job, learning_rate=math.inf)
    bad = replace(job.rows[0], ids=(*job.rows[0].ids[:3], BAD, *job.rows[0].ids[4:]))
    return replace(job, rows=(bad, *job.rows[1:]))


BAD = 89  # a token that is in no text


@pytest.mark.parametrize("how", ["learning rate", "weights"])
def test_a_loss_that_is_not_finite_ends_that_job_and_changes_no_bit_of_the_others(
    lm: LanguageModel, mixed: list[Job], how: str
) -> None:
    assert not any(BAD in r.ids for job in mixed for r in job.rows)
    jobs = [replace(job, epochs=4) for job in mixed[:3]]  # of one slot each, till the end
    calm = list(BatchedTrainer(lm, 3).train(jobs))
    if how == "weights":
        lm.model.get_input_embeddings().weight.data[BAD] = math.nan
    (expected,) = ReferenceTrainer(lm).train([spoil(jobs[1], how)])
    found = list(BatchedTrainer(lm, 3).train([jobs[0], spoil(jobs[1], how), jobs[2]]))
    assert expected.error is not None
    assert replace(found[1], seconds=0) == replace(
        expected,
        seconds=0,
        first_loss=found[1].first_loss,
        last_loss=found[1].last_loss,
    )
    # Its end leaves its neighbours in other company; until then nothing of it reached them.
    for i in (0, 2):
        assert found[i].error is None
        assert found[i].first_loss == calm[i].first_loss
        assert error(found[i], calm[i]) < 1e-5


@pytest.mark.parametrize("place", [0, 1, 2])
def test_while_a_job_is_not_a_number_its_neighbours_keep_every_bit(
    lm: LanguageModel, mixed: list[Job], place: int
) -> None:
    # Rows of different lengths side by side: padding must not come from the bad one either.
    jobs = [replace(mixed[0], epochs=1, rows=mixed[0].rows[i : i + 1], seed=i) for i in range(3)]
    lm.model.get_input_embeddings().weight.data[BAD] = math.nan
    calm = list(BatchedTrainer(lm, 3).train(jobs))
    jobs[place] = spoil(jobs[place], "weights")
    found = list(BatchedTrainer(lm, 3).train(jobs))
    assert found[place].error is not None
    for i in {0, 1, 2} - {place}:
        assert torch.equal(update(found[i].lora), update(calm[i].lora))


def test_an_infinite_weight_after_the_last_step_fails_the_job(
    lm: LanguageModel, mixed: list[Job]
) -> None:
    jobs = [mixed[0], replace(mixed[6], learning_rate=math.inf)]
    good, bad = BatchedTrainer(lm, 2).train(jobs)
    assert (good.error, bad.lora, bad.n_steps) == (None, None, 1)
    assert bad.error == "the weights are not finite after the last step"


def test_the_longest_job_that_waits_takes_a_free_slot(
    lm: LanguageModel, mixed: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []
    steps: list[int] = []

    def fill(run: Any, drawer: Any) -> None:
        before = len(run.active)
        FILL(run, drawer)
        started.extend(plan.place for plan in run.active[before:])
        steps.append(len(run.active))

    monkeypatch.setattr(batched._Run, "_fill", fill)
    found = list(BatchedTrainer(lm, 3).train(mixed))
    lengths = [trained.n_steps for trained in found]
    assert [lengths[i] for i in started] == sorted(lengths, reverse=True)
    assert max(steps) == 3
    assert sum(steps) == sum(lengths)
    assert all(n == 3 for n in steps[: -max(lengths) // 2])


def test_the_model_is_as_found_at_every_result(lm: LanguageModel, mixed: list[Job]) -> None:
    before = Trace(lm.model)
    for _ in BatchedTrainer(lm, 2).train([*mixed, spoil(mixed[0], "learning rate")]):
        before.assert_unchanged(lm.model)
    before.assert_unchanged(lm.model)


def test_the_model_is_as_found_when_nobody_asks_for_the_rest(
    lm: LanguageModel, mixed: list[Job]
) -> None:
    before = Trace(lm.model)
    results = BatchedTrainer(lm, 2).train(mixed)
    next(results)
    results.close()
    before.assert_unchanged(lm.model)


def test_the_model_is_as_found_after_an_error(
    lm: LanguageModel, mixed: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    before = Trace(lm.model)
    monkeypatch.setattr(stack._Adapted, "backward", stop)  # in the middle of a backward
    with pytest.raises(KeyboardInterrupt):
        list(BatchedTrainer(lm, 2).train(mixed))
    before.assert_unchanged(lm.model)


@pytest.fixture
def little_memory(lm: LanguageModel) -> Iterator[Callable[[int], None]]:
    """`little_memory(n)`: more than n tokens in a forward are too many."""
    handles = []

    def limit(n_tokens: int) -> None:
        def refuse(module: Any, args: Any, kwargs: Any) -> None:
            if kwargs["input_ids"].shape[1] > n_tokens:
                raise torch.OutOfMemoryError("no memory left")

        body = lm.model.base_model
        handles.append(body.register_forward_pre_hook(refuse, with_kwargs=True))

    yield limit
    for handle in handles:
        handle.remove()


def test_out_of_memory_takes_slots_away_and_the_jobs_are_trained_all_the_same(
    lm: LanguageModel,
    mixed: list[Job],
    little_memory: Callable[[int], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    expected = list(ReferenceTrainer(lm).train(mixed))
    little_memory(75)
    found = list(BatchedTrainer(lm, 7).train(mixed))
    assert max(error(one, other) for one, other in zip(found, expected, strict=True)) < 1e-4
    assert "going on with 3 slots" in caplog.text
    assert caplog.text.index("compute again") < caplog.text.index("slots")


def test_layers_that_compute_twice_train_the_same(
    lm: LanguageModel,
    mixed: list[Job],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    runs, layer = [], type(lm.model.base_model.layers[0])
    whole = layer.forward
    monkeypatch.setattr(layer, "forward", lambda *a, **k: runs.append(1) or whole(*a, **k))
    expected = list(BatchedTrainer(lm, 3).train(mixed[:3]))
    once = len(runs)
    monkeypatch.setattr(batched._Run, "_again", lambda run, packed: checkpointed(lm.model, packed))
    runs.clear()
    before = Trace(lm.model)
    found = list(BatchedTrainer(lm, 3).train(mixed[:3]))
    before.assert_unchanged(lm.model)
    assert all(error(one, other) < 1e-6 for one, other in zip(found, expected, strict=True))
    assert len(runs) > 1.5 * once  # trials of the model are among them


def test_alone_a_job_is_cut_into_rows_and_one_that_does_not_fit_fails(
    lm: LanguageModel, mixed: list[Job], little_memory: Callable[[int], None]
) -> None:
    little_memory(23)
    found = list(BatchedTrainer(lm, 4).train(mixed))
    longest = [max(len(r.ids) for r in job.rows) for job in mixed]
    assert [one.error is None for one in found] == [n - 1 <= 23 for n in longest]
    assert found[0].error == f"out of memory on {longest[0]} tokens"
    assert found[5].error is None  # its batch of three rows did not fit at once


def test_slots_that_memory_has_no_room_for_are_not_made(
    lm: LanguageModel,
    mixed: list[Job],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    whole = Stack.__init__

    def make(stack: Stack, model: Any, targets: Any, rank: int, slots: int, **how: Any) -> None:
        if slots > 2:
            raise torch.OutOfMemoryError("no memory left")
        whole(stack, model, targets, rank, slots, **how)

    monkeypatch.setattr(Stack, "__init__", make)
    assert max(errors(lm, mixed, 7)) < 1e-4
    assert "going on with 1 slots" in caplog.text


def test_what_did_not_fit_is_given_back_before_less_is_asked_for(
    lm: LanguageModel, mixed: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[weakref.ref[Stack]] = []
    whole, zeros, asked = Stack.__init__, torch.zeros_like, []

    def make(stack: Stack, *what: Any, **how: Any) -> None:
        assert not any(other() for other in made)
        whole(stack, *what, **how)
        made.append(weakref.ref(stack))

    def fill(values: torch.Tensor) -> torch.Tensor:
        asked.append(values)
        if len(asked) == 3:  # the second moments of the first attempt
            asked.clear()
            monkeypatch.setattr(torch, "zeros_like", zeros)
            raise torch.OutOfMemoryError("no memory left")
        return zeros(values)

    monkeypatch.setattr(Stack, "__init__", make)
    monkeypatch.setattr(torch, "zeros_like", fill)
    assert all(t.error is None for t in BatchedTrainer(lm, 4).train(mixed))
    assert len(made) == 2


def test_rows_that_cannot_be_packed_are_left_to_the_reference(
    lm: LanguageModel, mixed: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batched, "packs", lambda *_, **__: False)
    assert errors(lm, mixed[:2]) == [0.0, 0.0]


def test_what_is_no_linear_layer_is_left_to_the_reference_and_worn_with_peft(
    tiny: Callable[..., LanguageModel], make_job: MakeJob
) -> None:
    lm = tiny("mixtral")  # its routers, called gate, return more than a product
    job = make_job(lm.tokenizer, TEXTS, targets=("gate", "q_proj"), learning_rate=2e-2)
    before = Trace(lm.model)
    jobs = [job, replace(job, seed=1)]
    assert errors(lm, jobs) == [0.0, 0.0]
    loras = [t.lora for t in BatchedTrainer(lm, 2).train(jobs)]
    engine = TransformersEngine(lm, 8)
    asked = [(Request(text, 0, max_tokens=6), lora) for lora in loras for text in TEXTS]
    found = engine.complete([q for q, _ in asked], [lora for _, lora in asked])
    before.assert_unchanged(lm.model)
    for (request, lora), completion in zip(asked, found, strict=True):
        with attached(lm.model, lora):
            assert engine.complete([request]) == [completion]
    assert found != engine.complete([q for q, _ in asked])


def test_it_says_how_far_it_is(
    lm: LanguageModel,
    mixed: list[Job],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level("INFO", "stages")
    list(BatchedTrainer(lm, 2).train(mixed))
    assert caplog.text == ""
    monkeypatch.setattr(progress, "INTERVAL", 0)
    list(BatchedTrainer(lm, 2).train(mixed[:3]))
    assert "trained 1 of 3 adapters" in caplog.text
    assert "3 of 3" not in caplog.text
    caplog.clear()
    for trainer in (BatchedTrainer(lm, 2), ReferenceTrainer(lm)):  # of one job, its steps
        (trained,) = trainer.train(mixed[:1])
        assert f"step 1 of {trained.n_steps}, about" in caplog.text
        assert f"step {trained.n_steps} of" not in caplog.text
        caplog.clear()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_adam_for_all_slots_gives_the_same_adapters(
    lm: LanguageModel, mixed: list[Job], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm.model.to(dtype)
    monkeypatch.setattr(adam, "_in_one", lambda _: True)
    assert max(errors(lm, mixed)) < (1e-4 if dtype == torch.float32 else 1e-9)
    monkeypatch.setattr(adam, "EPSILON", 1e-2)
    assert max(errors(lm, mixed)) > 1e-3


def test_one_adam_is_as_many_operations_for_many_slots_as_for_few() -> None:
    counts = []
    for n in (2, 64):
        values, gradients, first, second = torch.zeros(4, n, 9, device="meta")
        stack: Any = SimpleNamespace(values=values, gradients=gradients)
        moments = first, second, torch.zeros(n, device="meta")
        with Launches() as launches:
            adam.together(stack, moments, torch.ones(n, device="meta"), [1e-3] * n)
        counts.append(sum(launches.seen.values()))
    assert counts[0] == counts[1] < 30


def test_why_adapters_are_trained_one_at_a_time_is_said_and_stands_with_each(
    lm: LanguageModel,
    mixed: list[Job],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    together = list(BatchedTrainer(lm, 2).train(mixed[:2]))
    assert [one.alone for one in together] == [None, None]
    monkeypatch.setattr(batched, "packs", lambda *_, **__: False)
    found = list(BatchedTrainer(lm, 2).train(mixed[:2]))
    why = "rows of LlamaForCausalLM cannot be packed"
    assert f"{why}: adapters are trained one at a time" in caplog.text
    assert [one.alone for one in found] == [why, why]
    for one, expected in zip(found, ReferenceTrainer(lm).train(mixed[:2]), strict=True):
        assert torch.equal(update(one.lora), update(expected.lora))


def test_the_global_random_state_is_neither_used_nor_changed(
    lm: LanguageModel, mixed: list[Job]
) -> None:
    before = torch.get_rng_state()
    one = list(BatchedTrainer(lm, 3).train(mixed))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    other = list(BatchedTrainer(lm, 3).train(mixed))
    assert all(torch.equal(update(a.lora), update(b.lora)) for a, b in zip(one, other, strict=True))


def test_no_jobs_give_no_results(lm: LanguageModel) -> None:
    assert list(BatchedTrainer(lm, 3).train([])) == []
