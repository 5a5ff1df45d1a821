"""How long adapters take here: one at a time and batched, with proof that they agree."""

import json
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from stages.config import AdaptConfig
from stages.engines import Completion, Request
from stages.engines.transformers import TransformersEngine
from stages.models import LanguageModel
from stages.rivals import CarefulLoop, Trl, has_trl, plain
from stages.tokens import Row
from stages.training import Job, Lora, Trained
from stages.training.attach import attached
from stages.training.batched import BatchedTrainer
from stages.training.pack import n_read
from stages.training.reference import ReferenceTrainer, optimizer_batches
from stages.training.stack import sites_of
from stages.training.targets import resolve_targets

TABLE = Path(__file__).parent / "round0.json"
PAPER_LENGTH = 2048  # the released code fills every row up to this
TRL_JOBS = 4  # jobs that TRL is measured on
PAPER_STEPS = 3  # steps measured of the paper's procedure; all of its steps cost the same
_QWEN = {"model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944}
_LLAMA = {"model_type": "llama", "hidden_size": 2048, "intermediate_size": 8192}
_SMALL = {"model_type": "llama", "hidden_size": 256, "intermediate_size": 768}
_TINY = {"model_type": "llama", "hidden_size": 128, "intermediate_size": 384}
_HEADS = ("num_hidden_layers", "num_attention_heads", "num_key_value_heads", "vocab_size")
# Layers, heads, heads of keys and values, words; random weights, nothing is downloaded.
SHAPES: dict[str, dict[str, Any]] = {
    "qwen2.5-7b": _QWEN | dict(zip(_HEADS, (28, 28, 4, 152064), strict=True)),
    "llama-3.2-1b": _LLAMA | dict(zip(_HEADS, (16, 32, 8, 128256), strict=True)),
    "small": _SMALL | dict(zip(_HEADS, (6, 8, 8, 4096), strict=True)),
    "tiny": _TINY | dict(zip(_HEADS, (3, 4, 4, 636), strict=True)),
}


@dataclass(frozen=True)
class Work:
    """One self-edit's adapter to train, and the questions that it is then asked."""

    job: Job
    questions: tuple[Request, ...]


@dataclass(frozen=True)
class Measured:
    """What one method took. `parity` and `same_answers` compare with one at a time, unpadded."""

    method: str
    slots: int
    n_self_edits: int
    train_seconds_per_self_edit: float
    score_seconds_per_self_edit: float
    parity: dict[str, float] | None  # median and largest relative error of alpha / rank * B A
    same_answers: float | None
    tokens_per_step: float
    floor: float  # share of the time that its matrix products would take at this machine's rate
    peak_bytes: int
    extrapolated: bool = False  # not all steps were measured

    @property
    def seconds(self) -> float:
        """Train and score, per self-edit."""
        return self.train_seconds_per_self_edit + self.score_seconds_per_self_edit


class Numbers:
    """A tokenizer for models without one: its words are the numbers of their tokens."""

    bos_token_id, eos_token_id = None, 0

    def __call__(self, text: str, add_special_tokens: bool = False) -> dict[str, list[int]]:
        """Token ids of a text of numbers."""
        return {"input_ids": [int(word) for word in text.split()]}

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """The numbers with blanks between."""
        return " ".join(map(str, ids))


def random_model(shape: str, device: str = "cpu") -> LanguageModel:
    """A model of one of `SHAPES` with random weights: bfloat16 on a GPU, float32 on a CPU."""
    import transformers

    fields = dict(SHAPES[shape])
    config = transformers.AutoConfig.for_model(
        fields.pop("model_type"), **fields, eos_token_id=0, bos_token_id=None, pad_token_id=None
    )
    dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype)  # type: ignore[no-untyped-call]
    return LanguageModel(model.eval().requires_grad_(False), Numbers())


def round0(lm: LanguageModel, config: AdaptConfig, n: int, answer_tokens: int) -> list[Work]:
    """`n` self-edits of the shipped table's lengths, of random tokens, trained as `config` says."""
    words = lm.model.config.vocab_size
    shapes = {name: list(tensor.shape) for name, tensor in lm.model.state_dict().items()}
    targets = resolve_targets(config.targets, shapes)
    table = json.loads(TABLE.read_text(encoding="utf-8"))["self_edits"]
    work = []
    for i in range(n):
        entry, chance = table[i % len(table)], random.Random(i)
        rows = tuple(
            Row(tuple(chance.randrange(1, words) for _ in range(length)), 0, length)
            for length in entry["rows"]
        )
        prompts = (
            " ".join(str(chance.randrange(1, words)) for _ in range(k)) for k in entry["questions"]
        )
        questions = tuple(Request(prompt, seed=0, max_tokens=answer_tokens) for prompt in prompts)
        work.append(Work(config.job(rows, targets, seed=i), questions))
    return work


def measure(
    lm: LanguageModel,
    work: Sequence[Work],
    slots: Sequence[int],
    *,
    paper: bool = True,
    noise: bool = False,
    rivals: bool = True,
) -> Iterator[Measured]:
    """One at a time with PEFT, the paper's procedure, and batched at each number of slots.

    With `rivals` also a careful loop and, where it is installed, TRL's SFTTrainer.

    With `noise`, also one at a time with another attention kernel: how far apart two correct
    trainers come, which is what the parity of the batched ones is to be held against.
    """
    meter = _Meter(lm, work)
    one = meter.run("one at a time", 1, ReferenceTrainer(lm), meter.ask_one_by_one)
    yield one
    if noise:
        lm.model.config._attn_implementation, usual = "eager", lm.model.config._attn_implementation
        yield meter.run("eager attention", 1, ReferenceTrainer(lm), meter.ask_one_by_one)
        lm.model.config._attn_implementation = usual
    if rivals and plain([w.job for w in work]):
        yield meter.run("careful loop", 1, CarefulLoop(lm), meter.ask_one_by_one)
        if has_trl() and not isinstance(lm.tokenizer, Numbers):
            yield meter.trl(one)
    if paper:
        yield meter.padded(one)
    for k in slots:
        yield meter.run("batched", k, BatchedTrainer(lm, k), meter.ask_together)


def ratios(results: Sequence[Measured]) -> dict[str, float | int]:
    """How much faster the best batched run is, in training and scoring together."""
    best = min((r for r in results if r.method == "batched"), key=lambda r: r.seconds)
    methods = ("careful loop", "trl", "paper")
    others = {"one at a time": "peft"} | {name: name.replace(" ", "_") for name in methods}
    known = [(others[r.method], r.seconds) for r in results if r.method in others]
    found = {f"speedup_over_{name}": round(s / best.seconds, 3) for name, s in known}
    return {"best_slots": best.slots, **found}


class _Meter:
    """Runs methods on the same work and compares each with the first."""

    def __init__(self, lm: LanguageModel, work: Sequence[Work]) -> None:
        self.lm, self.work = lm, work
        self.engine = TransformersEngine(lm, batch=128)
        self.rate = _flops_per_second(lm)
        self.first: tuple[list[Trained], list[Completion]] | None = None

    def run(
        self,
        method: str,
        slots: int,
        trainer: Any,
        ask: Callable[[Sequence[Lora | None]], list[Completion]],
    ) -> Measured:
        """Train and score everything, and compare."""
        list(trainer.train([replace(w.job, epochs=1) for w in self.work[:2]]))  # warm up
        _forget_peak()
        start = now(self.lm)
        trained = list(trainer.train([w.job for w in self.work]))
        middle = now(self.lm)
        answers = ask([t.lora for t in trained])
        end = now(self.lm)
        self.first = self.first or (trained, answers)
        n, steps = len(self.work), sum(t.n_steps for t in trained)
        tokens = sum(w.job.epochs * sum(map(n_read, w.job.rows)) for w in self.work)
        parity = [distance(x, y) for x, y in zip(trained, self.first[0], strict=True)]
        same = [x.text == y.text for x, y in zip(answers, self.first[1], strict=True)]
        return Measured(
            method,
            slots,
            n,
            (middle - start) / n,
            (end - middle) / n,
            {"median": sorted(parity)[n // 2], "max": max(parity)},
            sum(same) / len(same),
            tokens / steps * min(slots, n),
            self._flops(tokens) / self.rate / (middle - start),
            _peak(),
        )

    def trl(self, one: Measured) -> Measured:
        """TRL's trainer on a few of the jobs."""
        jobs = [w.job for w in self.work[:TRL_JOBS]]
        list(Trl(self.lm).train([replace(jobs[0], epochs=1)]))  # warm up
        _forget_peak()
        start = now(self.lm)
        per_step = 1 / sum(trained.n_steps for trained in Trl(self.lm).train(jobs))
        per_step *= now(self.lm) - start
        steps = sum(len(list(optimizer_batches(w.job))) for w in self.work) / len(self.work)
        tokens = self._tokens() / len(self.work) / steps
        return self._extrapolated(one, "trl", per_step, steps, tokens)

    def padded(self, one: Measured) -> Measured:
        """The paper's procedure: every row filled up to 2048 tokens, all of them learned."""
        length = min(PAPER_LENGTH, self.lm.window)
        row = self.work[0].job.rows[0]
        full = Row((row.ids + (self.lm.tokenizer.eos_token_id,) * length)[:length], 0, len(row.ids))
        job = replace(self.work[0].job, rows=(full,), epochs=PAPER_STEPS, batch_size=1)
        _forget_peak()
        start = now(self.lm)
        (trained,) = ReferenceTrainer(self.lm).train([job])
        per_step = (now(self.lm) - start) / trained.n_steps
        steps = sum(len(w.job.rows) * w.job.epochs for w in self.work) / len(self.work)
        return self._extrapolated(one, "paper", per_step, steps, length)

    def _extrapolated(
        self, one: Measured, method: str, per_step: float, steps: float, tokens: float
    ) -> Measured:
        """A method that trains other adapters; its scoring is that of one at a time."""
        return replace(
            one,
            method=method,
            train_seconds_per_self_edit=per_step * steps,
            parity=None,
            same_answers=None,
            tokens_per_step=float(tokens),
            floor=self._flops(tokens) / self.rate / per_step,
            peak_bytes=_peak(),
            extrapolated=True,
        )

    def ask_one_by_one(self, loras: Sequence[Lora | None]) -> list[Completion]:
        """Each adapter's questions with PEFT, one adapter after the other."""
        answers: list[Completion] = []
        for work, lora in zip(self.work, loras, strict=True):
            with attached(self.lm.model, lora):
                answers += self.engine.complete(work.questions)
        return answers

    def ask_together(self, loras: Sequence[Lora | None]) -> list[Completion]:
        """All questions at once."""
        asked = [(q, lora) for w, lora in zip(self.work, loras, strict=True) for q in w.questions]
        return self.engine.complete([q for q, _ in asked], [lora for _, lora in asked])

    def _tokens(self) -> int:
        return sum(w.job.epochs * sum(map(n_read, w.job.rows)) for w in self.work)

    def _flops(self, tokens: float) -> float:
        """Of training: forward and the gradient of inputs, and the LoRAs' own gradients."""
        job = self.work[0].job
        lora = sum(job.rank * (s.n_in + s.n_out) for s in sites_of(self.lm.model, job.targets, 1))
        embedding = self.lm.model.get_input_embeddings().weight
        head = self.lm.model.get_output_embeddings().weight
        looked_up = 0 if head is embedding else embedding.numel()
        base: int = self.lm.model.num_parameters() - looked_up
        return tokens * (4.0 * base + 6.0 * lora)


def clock(lm: LanguageModel) -> str:
    """What is taken for time: on a CPU with one thread, what this process had of it.

    On a quiet machine that is the time that passes; on shared cores it leaves others' work out.
    """
    one_thread = lm.device.type == "cpu" and torch.get_num_threads() == 1
    return "process" if one_thread else "wall"


def now(lm: LanguageModel) -> float:
    """Seconds by `clock`, everything that was asked of the device done."""
    if lm.device.type != "cpu":
        torch.accelerator.synchronize()
    return time.process_time() if clock(lm) == "process" else time.perf_counter()


def _flops_per_second(lm: LanguageModel) -> float:
    """What one large matrix product reaches here in the model's dtype."""
    size = 8192 if lm.device.type == "cuda" else 1024
    x = torch.randn(size, size, device=lm.device).to(lm.model.dtype)
    best = float("inf")
    for _ in range(5):
        start = now(lm)
        (x @ x)[0, 0].item()
        best = min(best, now(lm) - start)
    return 2.0 * size**3 / best


def distance(one: Trained, other: Trained) -> float:
    """The relative error of what an adapter adds to its model."""
    if one.lora is None or other.lora is None:
        return 0.0 if one.error == other.error else float("inf")
    apart, size = 0.0, 0.0
    for name, (a, b) in other.lora.weights.items():
        x, y, a, b = (t.cpu().double() for t in (*one.lora.weights[name], a, b))
        right = b @ a
        apart += (y @ x - right).pow(2).sum().item()
        size += right.pow(2).sum().item()
    return math.sqrt(apart / size) if size else 0.0


def _forget_peak() -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def _peak() -> int:
    """Most bytes in use: on the GPU since `_forget_peak`, else of this process in all its life."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
