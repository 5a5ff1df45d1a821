"""The reference trainer against a slower and independent one, and what it leaves behind."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from stages.models import LanguageModel
from stages.records import Example
from stages.tokens import Row, row
from stages.training import Job, Lora, Trained
from stages.training.reference import ReferenceTrainer, optimizer_batches

TEXTS = ["The harbour is old.", "It has a quay.", "Its light is 31 m high.", "Wide open."]

MakeJob = Callable[..., Job]


@pytest.fixture
def lm(tiny: Callable[..., LanguageModel]) -> LanguageModel:
    return tiny("llama")


def train(lm: LanguageModel, *jobs: Job) -> list[Trained]:
    return list(ReferenceTrainer(lm).train(jobs))


def distance(one: Lora, other: Lora) -> float:
    """The largest difference of any weight."""
    assert one.weights.keys() == other.weights.keys()
    return max(
        (x - y).abs().max().item()
        for name in one.weights
        for x, y in zip(one.weights[name], other.weights[name], strict=True)
    )


def slow(lm: LanguageModel, job: Job) -> tuple[dict[str, torch.Tensor], list[float]]:
    """The same with PEFT, labels of -100, right padding and transformers' own loss and schedule."""
    from peft import LoraConfig, get_peft_model
    from transformers import get_scheduler

    config = LoraConfig(
        r=job.rank,
        lora_alpha=job.alpha,
        target_modules=list(job.targets),
        task_type="CAUSAL_LM",
        fan_in_fan_out="c_attn" in job.targets,
    )
    model = get_peft_model(lm.model, config)
    chance = torch.Generator().manual_seed(job.seed)
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    for name in sorted(trained):
        if "lora_A" in name:
            bound = trained[name].shape[1] ** -0.5
            trained[name].data.uniform_(-bound, bound, generator=chance)
    per_epoch = math.ceil(len(job.rows) / job.batch_size)
    optimizer = torch.optim.AdamW(
        trained.values(), lr=job.learning_rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0
    )
    steps = per_epoch * job.epochs
    schedule = get_scheduler(job.schedule, optimizer, job.warmup_steps, steps)
    losses = []
    for epoch in range(job.epochs):
        order = list(range(len(job.rows)))
        random.Random(job.seed + epoch).shuffle(order)
        for i in range(per_epoch):
            chosen = order[i * job.batch_size : (i + 1) * job.batch_size]
            batch = collate([job.rows[k] for k in chosen])
            optimizer.zero_grad()
            loss = model(**batch).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained.values(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
    weights = {name: p.detach().clone() for name, p in trained.items()}
    model.unload()
    lm.model.requires_grad_(False)
    return weights, losses


def collate(rows: Sequence[Row]) -> dict[str, torch.Tensor]:
    """Right-padded ids, mask and labels, as a Hugging Face collator makes them."""
    width = max(len(r.ids) for r in rows)
    ids = torch.full((len(rows), width), 1)
    labels = torch.full((len(rows), width), -100)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for i, r in enumerate(rows):
        ids[i, : len(r.ids)] = torch.tensor(r.ids)
        labels[i, r.first_target : len(r.ids)] = torch.tensor(r.ids[r.first_target :])
        mask[i, : r.n_real] = 1
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def compare(lm: LanguageModel, job: Job, tolerance: float) -> None:
    (trained,) = train(lm, job)
    weights, losses = slow(lm, job)
    assert trained.lora is not None
    assert trained.n_steps == len(losses)
    assert trained.first_loss == pytest.approx(losses[0], rel=1e-5)
    assert trained.last_loss == pytest.approx(losses[-1], rel=1e-5)
    found = {
        f"base_model.model.{name}.lora_{side}.default.weight": tensor
        for name, pair in trained.lora.weights.items()
        for side, tensor in zip("AB", pair, strict=True)
    }
    assert found.keys() == weights.keys()
    for name, tensor in found.items():
        assert (tensor - weights[name]).abs().max() < tolerance, name
        if "lora_B" in name:
            assert tensor.abs().max() > 1e-3


def test_it_gives_the_lora_of_the_slow_trainer(
    any_model: LanguageModel, any_targets: tuple[str, ...], make_job: MakeJob
) -> None:
    compare(any_model, make_job(any_model.tokenizer, TEXTS, targets=any_targets), 1e-6)


def test_it_does_so_when_gradients_are_clipped(lm: LanguageModel, make_job: MakeJob) -> None:
    # A large alpha makes large gradients: every step is clipped.
    compare(lm, make_job(lm.tokenizer, TEXTS, alpha=256, learning_rate=1e-3), 1e-6)


@pytest.mark.parametrize("pad_targets", ["eos", "none", "official"])
def test_it_does_so_for_every_kind_of_end(
    lm: LanguageModel, make_job: MakeJob, pad_targets: str
) -> None:
    compare(lm, make_job(lm.tokenizer, TEXTS, pad_targets=pad_targets, epochs=2), 1e-6)


@pytest.mark.parametrize(
    "how", [{"schedule": "cosine"}, {"warmup_steps": 3}, {"schedule": "cosine", "warmup_steps": 4}]
)
def test_it_does_so_with_every_schedule(
    lm: LanguageModel, make_job: MakeJob, how: dict[str, Any]
) -> None:
    compare(lm, make_job(lm.tokenizer, TEXTS, **how), 1e-6)


@pytest.mark.parametrize("batch_size", [2, 3, 9])
def test_a_batch_is_the_mean_over_all_its_targets(
    lm: LanguageModel, make_job: MakeJob, batch_size: int
) -> None:
    # Rows of different lengths: the mean of their means would differ, and the losses would show it.
    # Adam turns float noise in a gradient near zero into weights: up to 5e-6 on one processor.
    compare(lm, make_job(lm.tokenizer, TEXTS, batch_size=batch_size), 1e-5)


def test_prompts_are_read_and_not_learned(lm: LanguageModel, make_job: MakeJob) -> None:
    rows = tuple(row(lm.tokenizer, Example("Imply: ", text), max_length=40) for text in TEXTS)
    compare(lm, replace(make_job(lm.tokenizer, TEXTS), rows=rows, batch_size=2), 2e-6)


def test_the_loss_is_that_of_the_targets_alone(lm: LanguageModel, make_job: MakeJob) -> None:
    example = row(lm.tokenizer, Example("Imply: ", "Old."), max_length=40)
    job = replace(make_job(lm.tokenizer, []), rows=(example,), epochs=1)
    (trained,) = train(lm, job)
    with torch.no_grad():
        chances = lm.model(input_ids=torch.tensor([example.ids])).logits[0].log_softmax(-1)
    said = [-chances[i - 1, example.ids[i]].item() for i in range(7, 12)]  # "Old." and the end
    assert len(example.ids) == 12
    assert trained.first_loss == pytest.approx(sum(said) / 5, rel=1e-5)


def test_official_padding_is_learned_and_hidden_from_attention(lm: LanguageModel) -> None:
    padded = row(lm.tokenizer, Example("", "Old."), max_length=9, pad_targets="official")
    ids = torch.tensor([padded.ids])
    mask = torch.tensor([[1] * 4 + [0] * 5])
    job = Job((padded,), 2, 4, ("q_proj",), 1, 1e-3, 1, 0)
    (trained,) = train(lm, job)
    with torch.no_grad():
        chances = lm.model(input_ids=ids, attention_mask=mask).logits[0].log_softmax(-1)
        alone = lm.model(input_ids=ids[:, :4]).logits[0].log_softmax(-1)
    assert torch.allclose(chances[:4], alone, atol=1e-5)  # real tokens do not see the padding
    losses = [-chances[i - 1, padded.ids[i]].item() for i in range(1, 9)]
    assert trained.first_loss == pytest.approx(sum(losses) / 8, rel=1e-5)


def test_every_epoch_has_an_order_of_its_own_and_every_row_once(make_job: MakeJob) -> None:
    rows = tuple(Row((i, i), 0, 2) for i in range(7))
    job = Job(rows, 1, 1, (), 4, 1e-3, 3, seed=5)
    batches = [[r.ids[0] for r in batch] for batch in optimizer_batches(job)]
    assert [len(batch) for batch in batches] == [3, 3, 1] * 4
    epochs = [[*batches[i], *batches[i + 1], *batches[i + 2]] for i in range(0, 12, 3)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_the_model_is_bit_for_bit_as_before(lm: LanguageModel, make_job: MakeJob) -> None:
    before = {name: tensor.clone() for name, tensor in lm.model.state_dict().items()}
    attributes = {name: frozenset(vars(m)) for name, m in lm.model.named_modules()}
    job = make_job(lm.tokenizer, TEXTS)
    train(lm, job, replace(job, targets=("down_proj",), learning_rate=math.inf), job)
    after = lm.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert attributes == {name: frozenset(vars(m)) for name, m in lm.model.named_modules()}
    assert not lm.model.training
    assert not any(p.requires_grad or p.grad is not None for p in lm.model.parameters())


def test_a_result_does_not_depend_on_the_jobs_before_it(
    lm: LanguageModel, make_job: MakeJob
) -> None:
    jobs = [
        make_job(lm.tokenizer, TEXTS, seed=1),
        make_job(lm.tokenizer, TEXTS[:1], seed=2, targets=("down_proj",), rank=8),
        make_job(lm.tokenizer, TEXTS[1:], seed=1, learning_rate=math.inf),
        make_job(lm.tokenizer, TEXTS, seed=3, batch_size=2),
    ]
    alone = [train(lm, job)[0] for job in jobs]
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]):
        for i, result in zip(order, train(lm, *(jobs[i] for i in order)), strict=True):
            expected = replace(alone[i], lora=None, seconds=0)
            assert replace(result, lora=None, seconds=0) == expected
            if result.lora is not None:
                assert distance(result.lora, alone[i].lora) == 0.0


def test_the_global_random_state_is_neither_used_nor_changed(
    lm: LanguageModel, make_job: MakeJob
) -> None:
    job = make_job(lm.tokenizer, TEXTS)
    torch.manual_seed(1)
    random.seed(1)
    (one,) = train(lm, job)
    torch.manual_seed(2)
    random.seed(2)
    expected = random.Random(2).random()
    (other,) = train(lm, job)
    assert distance(one.lora, other.lora) == 0.0
    assert random.random() == expected


def test_another_seed_gives_another_lora(lm: LanguageModel, make_job: MakeJob) -> None:
    one, other = train(
        lm, make_job(lm.tokenizer, TEXTS, seed=1), make_job(lm.tokenizer, TEXTS, seed=2)
    )
    assert distance(one.lora, other.lora) > 1e-3


def test_a_loss_that_is_not_finite_fails_that_job_alone(
    lm: LanguageModel, make_job: MakeJob
) -> None:
    job = make_job(lm.tokenizer, TEXTS)
    good, bad, again = train(lm, job, replace(job, learning_rate=math.inf), job)
    assert (bad.lora, bad.n_steps, bad.error) == (None, 1, "loss is nan at step 2 of 12")
    assert bad.first_loss == bad.last_loss == good.first_loss
    assert distance(good.lora, again.lora) == 0.0
    assert again.error is None


def test_weights_that_are_not_finite_after_the_last_step_fail_the_job(
    lm: LanguageModel, make_job: MakeJob
) -> None:
    (bad,) = train(lm, make_job(lm.tokenizer, TEXTS[:1], epochs=1, learning_rate=math.inf))
    assert bad.lora is None
    assert bad.error is not None


def test_an_infinite_weight_fails_at_the_first_step(lm: LanguageModel, make_job: MakeJob) -> None:
    lm.model.get_output_embeddings().weight.data[3, 0] = math.inf
    (bad,) = train(lm, make_job(lm.tokenizer, TEXTS))
    assert (bad.lora, bad.n_steps, bad.first_loss, bad.last_loss) == (None, 0, None, None)
    assert "step 1 of 12" in bad.error


def test_out_of_memory_fails_that_job_alone(lm: LanguageModel, make_job: MakeJob) -> None:
    def refuse(module: Any, args: Any, kwargs: Any) -> None:
        if kwargs["input_ids"].shape[1] > 20:
            raise torch.OutOfMemoryError("no memory left")

    hook = lm.model.register_forward_pre_hook(refuse, with_kwargs=True)
    long, short = train(lm, make_job(lm.tokenizer, TEXTS), make_job(lm.tokenizer, TEXTS[3:]))
    hook.remove()
    assert (long.lora, long.error) == (None, "out of memory on 24 tokens")
    assert short.error is None
    assert short.lora is not None


def test_it_learns_its_rows(language_model: LanguageModel, make_job: MakeJob) -> None:
    job = make_job(language_model.tokenizer, TEXTS[:1], epochs=60, learning_rate=2e-2, rank=8)
    (trained,) = train(language_model, job)
    assert trained.last_loss < 0.5 * trained.first_loss


def test_jobs_are_trained_one_by_one_as_results_are_asked_for(
    lm: LanguageModel, make_job: MakeJob
) -> None:
    job = make_job(lm.tokenizer, TEXTS[:1], epochs=1)
    results = ReferenceTrainer(lm).train([job, replace(job, targets=("nonsense",))])
    assert next(results).error is None
    with pytest.raises(ValueError, match="nonsense"):
        next(results)


def test_a_row_of_weight_2_is_learned_as_if_it_were_there_twice(
    lm: LanguageModel, make_job: MakeJob
) -> None:
    job = make_job(lm.tokenizer, TEXTS[:2], epochs=1, batch_size=3)
    one, other = job.rows
    assert one.n_targets != other.n_targets
    weighty = replace(job, rows=(replace(one, weight=2.0), replace(other, weight=0.0)))
    # Three rows in a step of which the third is not learned: the mean is over the same targets.
    (trained,) = train(lm, weighty)
    (twice,) = train(lm, replace(job, rows=(one, one), epochs=1))
    n = one.n_targets + other.n_targets
    assert trained.first_loss == pytest.approx(2 * one.n_targets / n * twice.first_loss, rel=1e-6)
