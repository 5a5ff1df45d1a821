"""The batched trainer: many jobs at once over one base model, each as the reference trains it.

Every step takes the next optimizer batch of each job that is under way. The rows lie end to end in
one forward and backward; loss, clipping, learning rate, step count and Adam's moments are each
job's own. A job that ends makes room for the longest one that waits.
"""

import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch.optim.adamw import adamw

from stages.models import LanguageModel
from stages.tokens import Row
from stages.training import Job, Lora, Trained
from stages.training.loss import plain_head, target_losses
from stages.training.objectives import OBJECTIVES
from stages.training.pack import MAX_TOKENS, cut, n_read, pack, packs
from stages.training.reference import MAX_GRAD_NORM, ReferenceTrainer, first_a, optimizer_batches
from stages.training.schedule import learning_rate
from stages.training.stack import Stack, stackable

LOG = logging.getLogger(__name__)
INTERVAL = 30.0  # seconds between words on how far it is


class BatchedTrainer:
    """Trains up to `slots` jobs at once on one model, which is the same again at every result."""

    def __init__(
        self, language_model: LanguageModel, slots: int, max_tokens: int = MAX_TOKENS
    ) -> None:
        self.lm, self.slots, self.max_tokens = language_model, slots, max_tokens

    def train(self, jobs: Sequence[Job]) -> Iterator[Trained]:
        """One result per job, in order; jobs with the same target modules are trained together.

        A job that ends before its turn waits for it. Out of memory or a non-finite loss ends a job
        alone. A model whose rows cannot be packed, or whose LoRAs cannot be stacked, is left to the
        reference trainer, and so is an objective whose rows do not add up.
        """
        done: dict[int, Trained] = {}
        given = 0
        for place, trained in _told(self._results(jobs), len(jobs)):
            done[place] = trained
            while given in done:
                yield done.pop(given)
                given += 1

    def _results(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Trained]]:
        """(place, result) of every job, as they end."""
        targets = {name for job in jobs for name in job.targets}
        adds = all(OBJECTIVES[job.objective].adds for job in jobs)
        if not (adds and packs(self.lm.model) and stackable(self.lm.model, sorted(targets))):
            yield from enumerate(ReferenceTrainer(self.lm).train(jobs))
            return
        for alike in dict.fromkeys(job.targets for job in jobs):
            plans = [
                _Active(i, job, list(optimizer_batches(job)))
                for i, job in enumerate(jobs)
                if job.targets == alike
            ]
            yield from _Run(self.lm, plans, self.slots, self.max_tokens).results()


def _told(results: Iterator[tuple[int, Trained]], total: int) -> Iterator[tuple[int, Trained]]:
    """The same results, with a word now and then: a batch of hundreds takes minutes."""
    said = time.monotonic()
    for number, result in enumerate(results, 1):
        if time.monotonic() - said >= INTERVAL and number < total:
            said = time.monotonic()
            LOG.info("trained %d of %d adapters", number, total)
        yield result


@dataclass
class _Active:
    """A job waiting or under way: its place among the jobs, and how far it has come."""

    place: int
    job: Job
    batches: list[list[Row]]
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def batch(self) -> list[Row]:
        """What the next step learns from."""
        return self.batches[len(self.losses)]

    @property
    def learning_rate(self) -> float:
        """Of the step whose loss came last."""
        return learning_rate(self.job, len(self.losses) - 1, len(self.batches))

    def result(self, lora: Lora | None, error: str | None = None) -> Trained:
        """What became of it."""
        first, last = (self.losses[0], self.losses[-1]) if self.losses else (None, None)
        return Trained(lora, len(self.losses), first, last, self.seconds, error)


class _Run:
    """Jobs with the same targets being trained; `active[i]` is in slot i of everything stacked."""

    def __init__(
        self, lm: LanguageModel, plans: Sequence[_Active], slots: int, max_tokens: int
    ) -> None:
        self.lm, self.max_tokens, self.head = lm, max_tokens, plain_head(lm.model)
        # The longest comes last, where it is taken first: what is left at the end, when slots
        # stand empty, is short.
        self.waiting = sorted(plans, key=lambda plan: len(plan.batches))
        self.active: list[_Active] = []
        self._allocate(min(slots, len(plans)))

    def _allocate(self, slots: int) -> None:
        """Room for this many jobs, or for as many as memory has."""
        while True:
            try:
                self.stack, self.first, self.second = self._made(slots)
                break
            except torch.OutOfMemoryError:
                if slots == 1:
                    raise
            torch.cuda.empty_cache()
            slots = max(1, slots // 2)
            LOG.warning("out of memory: going on with %d slots", slots)
        self.steps = torch.zeros(slots, device=self.lm.device)
        self.slots = slots

    def _made(self, slots: int) -> tuple[Stack, torch.Tensor, torch.Tensor]:
        """Weights, gradients and Adam's moments: where memory ends, nobody holds what was made."""
        job = max((plan.job for plan in self.waiting), key=lambda job: job.rank)
        stack = Stack(self.lm.model, job.targets, job.rank, slots)
        stack.gradients = torch.zeros_like(stack.values)
        return stack, torch.zeros_like(stack.values), torch.zeros_like(stack.values)

    def results(self) -> Iterator[tuple[int, Trained]]:
        """(place, result) of every job, as they end; between them the model is as it was."""
        while self.waiting or self.active:
            ended: list[tuple[int, Trained]] = []
            with self.stack.worn():
                while not ended and (self.waiting or self.active):
                    self._fill()
                    ended = self._step()
            yield from ended

    def _fill(self) -> None:
        """Start waiting jobs in the slots behind the active ones."""
        while self.waiting and len(self.active) < self.slots:
            slot, plan = len(self.active), self.waiting.pop()
            shapes = {site.name: (plan.job.rank, site.n_in) for site in self.stack.sites}
            sizes = {site.name: (site.n_out, plan.job.rank) for site in self.stack.sites}
            weights = {
                name: (a, torch.zeros(sizes[name])) for name, a in first_a(shapes, plan.job.seed)
            }
            self.stack.put(slot, Lora(plan.job.rank, plan.job.alpha, weights))
            for state in (self.first, self.second, self.steps):
                state[slot] = 0
            self.active.append(plan)

    def _step(self) -> list[tuple[int, Trained]]:
        """One optimizer step of every active job; those that ended, with their results."""
        start = time.perf_counter()
        try:
            losses, norms = self._backward()
        except torch.OutOfMemoryError:
            losses, norms = [], []
        if not losses:  # outside of the except, which holds on to what filled the memory
            return self._shrink()
        failures: dict[int, str] = {}
        for slot, (plan, loss, norm) in enumerate(zip(self.active, losses, norms, strict=True)):
            if math.isfinite(loss):
                plan.losses.append(loss)
                self._update(slot, plan, norm)
            else:
                step = f"step {len(plan.losses) + 1} of {len(plan.batches)}"
                failures[slot] = f"loss is {loss} at {step}"
        for plan in self.active:
            plan.seconds += (time.perf_counter() - start) / len(self.active)
        ended = [
            (slot, failures.get(slot))
            for slot, plan in enumerate(self.active)
            if slot in failures or len(plan.losses) == len(plan.batches)
        ]
        # From the last one on: a slot that becomes free takes over what is in the last.
        return [self._end(slot, failure) for slot, failure in reversed(ended)]

    def _backward(self) -> tuple[list[float], list[float]]:
        """The loss and the gradient's norm of each active job; its gradient is in the stack."""
        n_targets = [sum(row.n_targets for row in plan.batch) for plan in self.active]
        share = 1 / torch.tensor(n_targets, dtype=self.stack.values.dtype, device=self.lm.device)
        losses = torch.zeros_like(share)
        pieces = list(self._pieces())
        assert self.stack.gradients is not None
        self.stack.fresh = len(pieces) == 1
        if not self.stack.fresh:
            self.stack.gradients.zero_()
        for piece in pieces:
            packed = pack([row for _, row in piece], self.lm.device)
            self._arrange(piece)
            each = target_losses(self.lm.model, packed, self.head)
            slots = torch.tensor([slot for slot, _ in piece], device=self.lm.device)[packed.rows]
            parts = each * share[slots]
            if any(row.weight != 1 for _, row in piece):
                weights = torch.tensor([row.weight for _, row in piece], device=self.lm.device)
                parts = parts * weights[packed.rows]
            parts.sum().backward()  # type: ignore[no-untyped-call]
            losses.index_add_(0, slots, parts.detach())
        norms = torch.linalg.vector_norm(self.stack.gradients[: len(self.active)], dim=1)
        both: list[list[float]] = torch.stack([losses, norms]).tolist()
        return both[0], both[1]

    def _pieces(self) -> Iterator[list[tuple[int, Row]]]:
        """The next rows of all active jobs with their slots, cut where there are many tokens."""
        rows = [(slot, row) for slot, plan in enumerate(self.active) for row in plan.batch]
        start = 0
        for piece in cut([row for _, row in rows], self.max_tokens):
            yield rows[start : start + len(piece)]
            start += len(piece)

    def _arrange(self, piece: Sequence[tuple[int, Row]]) -> None:
        """Tell the stack whose tokens these are."""
        counts: dict[int, int] = {}
        for slot, row in piece:
            counts[slot] = counts.get(slot, 0) + n_read(row)
        self.stack.arrange(list(counts.values()), first=piece[0][0])

    def _update(self, slot: int, plan: _Active, norm: float) -> None:
        """Clip and apply one job's gradient with Adam, as torch.optim.AdamW does by default."""
        assert self.stack.gradients is not None
        gradient = self.stack.gradients[slot]
        excess = (norm + 1e-6) / MAX_GRAD_NORM
        if not excess <= 1:  # or not a number, which spoils this job, as it must
            gradient.mul_(1 / excess)
        adamw(
            [self.stack.values[slot]],
            [gradient],
            [self.first[slot]],
            [self.second[slot]],
            [],
            [self.steps[slot]],
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=plan.learning_rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )
        self.stack.refresh(slice(slot, slot + 1))

    def _end(self, slot: int, failure: str | None) -> tuple[int, Trained]:
        """Take a job out of its slot, and put the last one there."""
        plan, lora = self.active[slot], None
        if failure is None and not self.stack.values[slot].isfinite().all():
            failure = "the weights are not finite after the last step"
        if failure is None:
            lora = self.stack.take(slot, plan.job.rank, plan.job.alpha)
        last = self.active.pop()
        if last is not plan:
            self.active[slot] = last
            self.stack.move(len(self.active), slot)
            for state in (self.first, self.second, self.steps):
                state[slot] = state[len(self.active)]
        return plan.place, plan.result(lora, failure)

    def _shrink(self) -> list[tuple[int, Trained]]:
        """After running out of memory: fewer slots, or shorter pieces, or a job that failed.

        The jobs whose slots go start again later. The others have not lost their step.
        """
        torch.cuda.empty_cache()
        longest = max((row for plan in self.active for row in plan.batch), key=n_read)
        if len(self.active) > 1:
            self.slots = len(self.active) // 2
            LOG.warning("out of memory: going on with %d slots", self.slots)
            for plan in self.active[self.slots :]:
                plan.losses.clear()
            self.waiting += self.active[self.slots :]
            del self.active[self.slots :]
            self.stack.shrink(self.slots)
            self.first, self.second, self.steps = (
                state[: self.slots].clone() for state in (self.first, self.second, self.steps)
            )
        elif self.max_tokens > n_read(longest) and len(self.active[0].batch) > 1:
            self.max_tokens = n_read(longest)
        else:
            return [self._end(0, f"out of memory on {len(longest.ids)} tokens")]
        return []
