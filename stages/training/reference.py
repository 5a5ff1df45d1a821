"""The reference trainer: PEFT, one job at a time, one unpadded row at a time.

What Hugging Face's Trainer does by default and the released code relies on (AdamW without weight
decay, clipping at 1.0, a new order every epoch; the schedule is the job's), without its set-up
cost, and seeded per job instead of by the clock.
"""

import math
import random
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from stages.errors import RowFailure
from stages.models import LanguageModel
from stages.progress import Progress
from stages.tokens import Row
from stages.training import Job, Lora, Objective, Trained
from stages.training.adam import MAX_GRAD_NORM
from stages.training.attach import read, widened, wrapped, write
from stages.training.draw import first_a
from stages.training.loss import row_losses
from stages.training.objectives import OBJECTIVES
from stages.training.pack import cut
from stages.training.schedule import learning_rate


class ReferenceTrainer:
    """Trains on one model, which is the same again after each job."""

    def __init__(self, language_model: LanguageModel) -> None:
        self.lm = language_model

    def train(self, jobs: Sequence[Job]) -> Iterator[Trained]:
        """One result per job, in order; out of memory or a non-finite loss ends that job alone."""
        for job in jobs:
            yield self._train(job)

    def _train(self, job: Job) -> Trained:
        start = time.perf_counter()
        losses: list[float] = []
        lora, error = None, None
        try:
            lora = self._fit(job, losses)
        except RowFailure as failure:
            error = failure.message
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            error = f"out of memory on {max(len(row.ids) for row in job.rows)} tokens"
        first, last = (losses[0], losses[-1]) if losses else (None, None)
        return Trained(lora, len(losses), first, last, time.perf_counter() - start, error)

    def _fit(self, job: Job, losses: list[float]) -> Lora:
        with wrapped(self.lm.model, job.rank, job.alpha, list(job.targets)) as (model, layers):
            initialise(layers, job.seed)
            parameters = [p for p in model.parameters() if p.requires_grad]
            descend(model, parameters, job, self.lm.device, losses)
            return read(layers, job.rank, job.alpha)


def descend(
    model: Any,
    parameters: list[torch.nn.Parameter],
    job: Job,
    device: Any,
    losses: list[float],
    *,
    packed: bool = False,
) -> None:
    """All optimizer steps of a job on these parameters; every step's loss goes into `losses`.

    With `packed` the rows of a step go through the model together, else one after the other.

    Raises:
        RowFailure: a loss or a weight is not finite.

    """
    optimizer = torch.optim.AdamW(parameters, lr=job.learning_rate, weight_decay=0.0)
    batches = list(optimizer_batches(job))
    said = Progress("step %d of %d", len(batches))
    for step, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(job, step, len(batches))
        losses.append(backward(model, batch, OBJECTIVES[job.objective], device, packed=packed))
        if not math.isfinite(losses[-1]):
            raise RowFailure(f"loss is {losses.pop()} at step {step + 1} of {len(batches)}")
        torch.nn.utils.clip_grad_norm_(parameters, MAX_GRAD_NORM)
        optimizer.step()
        optimizer.zero_grad()
        said.at(step + 1)
    if not all(torch.isfinite(p).all() for p in parameters):
        raise RowFailure("the weights are not finite after the last step")


def initialise(layers: dict[str, Any], seed: int) -> None:
    """A as `first_a` draws it, B zero."""
    shapes = {name: layer.lora_A["default"].weight.shape for name, layer in layers.items()}
    for name, a in first_a(shapes, seed):
        write(layers[name], a, torch.zeros(layers[name].lora_B["default"].weight.shape))


def optimizer_batches(job: Job) -> Iterator[list[Row]]:
    """Every epoch in an order of its own, cut into batches; the last of an epoch may be smaller."""
    for epoch in range(job.epochs):
        order = list(range(len(job.rows)))
        random.Random(job.seed + epoch).shuffle(order)
        for start in range(0, len(order), job.batch_size):
            yield [job.rows[i] for i in order[start : start + job.batch_size]]


def backward(
    model: Any, batch: list[Row], objective: Objective, device: Any, *, packed: bool = False
) -> float:
    """Accumulate the gradient of the objective over the batch; returns the loss."""
    n_targets = sum(row.n_targets for row in batch)
    total = 0.0
    pieces = cut(batch) if packed else [[row] for row in batch]
    for rows in pieces if objective.adds else [batch]:
        each = row_losses(model, rows) if packed else [_losses(model, r, device) for r in rows]
        loss = objective.loss(rows, each, n_targets)
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
    return total


def _losses(model: Any, row: Row, device: Any) -> torch.Tensor:
    """-log p of each target of a row."""
    ids = torch.tensor([row.ids], device=device)
    mask = None
    if row.n_real < len(row.ids):
        mask = (torch.arange(len(row.ids), device=device) < row.n_real).long()[None]
    first = max(row.first_target, 1)
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[0]
    return F.cross_entropy(widened(logits[first - 1 : -1]), ids[0, first:], reduction="none")
