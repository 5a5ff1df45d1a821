"""The batched trainer: many jobs at once over one base model, each as the reference trains it.

Every step takes the next optimizer batch of each job that is under way. The rows lie end to end in
one forward and backward; loss, clipping, learning rate, step count and Adam's moments are each
job's own. A job that ends makes room for the longest one that waits.
"""

import logging
import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace

import torch

from stages.models import LanguageModel
from stages.progress import Progress
from stages.tokens import Row
from stages.training import Job, Lora, Trained
from stages.training.adam import descend
from stages.training.checkpoint import checkpointed, forgettable
from stages.training.fold import Fold, folded, pays
from stages.training.loss import plain_head, target_losses
from stages.training.norm import fused_norms
from stages.training.objectives import OBJECTIVES
from stages.training.pack import MAX_TOKENS, Pack, cut, n_read, pack, packs
from stages.training.products import sent
from stages.training.reference import ReferenceTrainer, optimizer_batches
from stages.training.schedule import learning_rate
from stages.training.stack import Stack, stackable
from stages.training.varlen import has_varlen

LOG = logging.getLogger(__name__)
LEAST_TOKENS = 1024  # a forward is cut down to this before slots are given up
AHEAD = 4  # jobs whose first weights are drawn while others are trained


class BatchedTrainer:
    """Trains up to `slots` jobs at once on one model, which is the same again at every result.

    With `narrow` LoRAs are computed in the model's own dtype, not in float32 as PEFT does: faster
    on a GPU whose model is in bfloat16, and other numbers.
    """

    def __init__(
        self,
        language_model: LanguageModel,
        slots: int,
        max_tokens: int = MAX_TOKENS,
        *,
        narrow: bool = False,
    ) -> None:
        self.lm, self.slots, self.max_tokens = language_model, slots, max_tokens
        self.narrow, self.varlen = narrow, False

    def train(self, jobs: Sequence[Job]) -> Iterator[Trained]:
        """One result per job, in order; jobs with the same target modules are trained together.

        A job that ends before its turn waits for it. Out of memory or a non-finite loss ends a job
        alone. A model whose rows cannot be packed, or whose LoRAs cannot be stacked, is left to the
        reference trainer, and so is an objective whose rows do not add up.
        """
        done: dict[int, Trained] = {}
        given = 0
        said = Progress("trained %d of %d adapters", len(jobs))
        for number, (place, trained) in enumerate(self._results(jobs), 1):
            said.at(number)
            done[place] = trained
            while given in done:
                yield done.pop(given)
                given += 1

    def _results(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Trained]]:
        """(place, result) of every job, as they end."""
        targets = {name for job in jobs for name in job.targets}
        adds = all(OBJECTIVES[job.objective].adds for job in jobs)
        if reason := self._unfit(adds, sorted(targets)):
            if len(jobs) > 1:
                LOG.warning("%s: adapters are trained one at a time", reason)
            for place, trained in enumerate(ReferenceTrainer(self.lm).train(jobs)):
                yield place, replace(trained, alone=reason)
            return
        for alike in dict.fromkeys(job.targets for job in jobs):
            plans = [
                _Active(i, job, list(optimizer_batches(job)))
                for i, job in enumerate(jobs)
                if job.targets == alike
            ]
            yield from _Run(self.lm, plans, self).results()

    def _unfit(self, adds: bool, targets: Sequence[str]) -> str | None:
        """Why these jobs cannot be trained together."""
        if not adds:
            return "the objective looks at all rows of a step together"
        if not stackable(self.lm.model, targets):
            return f"not all of {', '.join(targets)} are linear layers"
        self.varlen = has_varlen(self.lm.model) and packs(self.lm.model, varlen=True)
        if not (self.varlen or packs(self.lm.model)):
            return f"rows of {type(self.lm.model).__name__} cannot be packed"
        return None


@dataclass
class _Active:
    """A job waiting or under way: its place among the jobs, and how far it has come."""

    place: int
    job: Job
    batches: list[list[Row]]
    done: int = 0
    seconds: float = 0.0

    @property
    def batch(self) -> list[Row]:
        """What the next step learns from."""
        return self.batches[self.done]

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return learning_rate(self.job, self.done, len(self.batches))

    def result(self, losses: Sequence[float], lora: Lora | None, error: str | None) -> Trained:
        """What became of it."""
        first, last = (losses[0], losses[-1]) if losses else (None, None)
        return Trained(lora, len(losses), first, last, self.seconds, error)


class _Run:
    """Jobs with the same targets being trained; `active[i]` is in slot i of everything stacked.

    A step asks nothing of the device: the losses stay there until their job ends.
    """

    def __init__(self, lm: LanguageModel, plans: Sequence[_Active], how: BatchedTrainer) -> None:
        self.lm, self.max_tokens, self.head = lm, how.max_tokens, plain_head(lm.model)
        self.varlen, self.narrow = how.varlen, how.narrow
        self.forgetful = False  # whether layers compute twice, for want of memory
        self.fold: Fold | None = None  # of the one LoRA into the weights, while it is trained
        # The longest comes last, where it is taken first: what is left at the end, when slots
        # stand empty, is short.
        self.waiting = sorted(plans, key=lambda plan: len(plan.batches))
        self.active: list[_Active] = []
        self.ahead: dict[int, Future[torch.Tensor]] = {}  # what jobs that wait begin with
        (alone,) = plans if len(plans) == 1 else (None,)
        self.said = Progress("step %d of %d", len(alone.batches)) if alone else None
        self._allocate(min(how.slots, len(plans)))

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
        longest = len(self.waiting[-1].batches)
        self.losses = torch.zeros(slots, longest, dtype=self.stack.values.dtype).to(self.lm.device)
        self.slots = slots

    def _made(self, slots: int) -> tuple[Stack, torch.Tensor, torch.Tensor]:
        """Weights, gradients and Adam's moments: where memory ends, nobody holds what was made."""
        job = max((plan.job for plan in self.waiting), key=lambda job: job.rank)
        stack = Stack(self.lm.model, job.targets, job.rank, slots, narrow=self.narrow)
        stack.gradients = torch.zeros_like(stack.values)
        return stack, torch.zeros_like(stack.values), torch.zeros_like(stack.values)

    def results(self) -> Iterator[tuple[int, Trained]]:
        """(place, result) of every job, as they end; between them the model is as it was."""
        with ThreadPoolExecutor(1) as drawer:
            while self.waiting or self.active:
                ended: list[tuple[int, Trained]] = []
                with self._worn() as self.fold, self._norms():
                    while not ended and (self.waiting or self.active):
                        self._fill(drawer)
                        if self.fold:
                            self.fold.renew()
                        ended = self._step()
                yield from ended

    def _worn(self) -> AbstractContextManager[Fold | None]:
        return folded(self.stack) if pays(self.stack) else self.stack.worn()

    def _norms(self) -> AbstractContextManager[object]:
        return nullcontext() if self.lm.device.type == "cpu" else fused_norms(self.lm.model)

    def _again(self, packed: Pack) -> AbstractContextManager[object]:
        return checkpointed(self.lm.model, packed) if self.forgetful else nullcontext()

    def _fill(self, drawer: ThreadPoolExecutor) -> None:
        """Start waiting jobs in the slots behind the active ones."""
        while self.waiting and len(self.active) < self.slots:
            slot, plan = len(self.active), self.waiting.pop()
            drawn = self.ahead.pop(plan.place, None)
            row = drawn.result() if drawn else self.stack.drawn(plan.job.rank, plan.job.seed)
            self.stack.begin(slot, row, plan.job.alpha / plan.job.rank)
            for state in (self.first, self.second, self.steps, self.losses):
                state[slot] = 0
            self.active.append(plan)
        if self.lm.device.type == "cpu":  # whose thread would be taken from the training
            return
        for plan in self.waiting[-AHEAD:]:
            if plan.place not in self.ahead:
                draw = drawer.submit(self.stack.drawn, plan.job.rank, plan.job.seed)
                self.ahead[plan.place] = draw

    def _step(self) -> list[tuple[int, Trained]]:
        """One optimizer step of every active job; those that ended, with their results."""
        start, norms = time.perf_counter(), None
        with suppress(torch.OutOfMemoryError):
            norms = self._backward()
        if norms is None:  # outside of the block, which holds on to what filled the memory
            return self._shrink()
        self._update(norms)
        for plan in self.active:
            plan.done += 1
            if self.said:
                self.said.at(plan.done)
        ended = [i for i, plan in enumerate(self.active) if plan.done == len(plan.batches)]
        if ended and self.lm.device.type == "cuda":
            torch.cuda.synchronize()  # the results wait for it anyway; now its time is counted
        for plan in self.active:
            plan.seconds += (time.perf_counter() - start) / len(self.active)
        # From the last one on: a slot that becomes free takes over what is in the last.
        return [self._end(slot) for slot in reversed(ended)]

    def _backward(self) -> torch.Tensor:
        """The gradient's norm of each active job; its loss and gradient are where they belong."""
        n, device, dtype = len(self.active), self.lm.device, self.stack.values.dtype
        n_targets = [sum(row.n_targets for row in plan.batch) for plan in self.active]
        losses = torch.zeros(n, dtype=dtype, device=device)
        pieces = list(self._pieces())
        assert self.stack.gradients is not None
        self.stack.fresh = len(pieces) == 1
        if not self.stack.fresh:
            self.stack.gradients.zero_()
        for piece in pieces:
            packed = pack([row for _, row in piece], device, varlen=self.varlen)
            if not self.fold:
                self._arrange(piece)
            (share,) = sent(
                [torch.tensor([r.weight / n_targets[slot] for slot, r in piece], dtype=dtype)],
                device,
            )
            (slots,) = sent([torch.tensor([slot for slot, _ in piece])], device)
            with self._again(packed):
                each = target_losses(self.lm.model, packed, self.head)
            parts = each * share.index_select(0, packed.rows)
            parts.sum().backward()  # type: ignore[no-untyped-call]
            losses.index_add_(0, slots.index_select(0, packed.rows), parts.detach())
        (at,) = sent([torch.tensor([[plan.done] for plan in self.active])], device)
        self.losses[:n].scatter_(1, at, losses[:, None])
        norms: torch.Tensor = torch.linalg.vector_norm(self.stack.gradients[:n], dim=1)
        return norms

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

    def _update(self, norms: torch.Tensor) -> None:
        """Clip and apply each job's gradient."""
        rates = [plan.learning_rate for plan in self.active]
        moments = self.first, self.second, self.steps
        descend(self.stack, moments, norms, rates)
        self.stack.refresh(slice(len(self.active)))

    def _end(self, slot: int) -> tuple[int, Trained]:
        """Take a job out of its slot, and put the last one there."""
        plan, lora, failure = self.active[slot], None, None
        losses: list[float] = self.losses[slot, : plan.done].tolist()
        for step, loss in enumerate(losses):
            if not math.isfinite(loss):
                failure = f"loss is {loss} at step {step + 1} of {len(plan.batches)}"
                del losses[step:]
                break
        if failure is None and not self.stack.values[slot].isfinite().all():
            failure = "the weights are not finite after the last step"
        if failure is None:
            lora = self.stack.take(slot, plan.job.rank, plan.job.alpha)
        self._leave(slot)
        return plan.place, plan.result(losses, lora, failure)

    def _leave(self, slot: int) -> None:
        """Put the last active job into this slot, whose job is over."""
        last = self.active.pop()
        if slot < len(self.active):
            self.active[slot] = last
            self.stack.move(len(self.active), slot)
            for state in (self.first, self.second, self.steps, self.losses):
                state[slot] = state[len(self.active)]

    def _shrink(self) -> list[tuple[int, Trained]]:
        """After running out of memory: shorter pieces, layers twice, fewer slots, or a failed job.

        The jobs whose slots go start again later. The others have not lost their step.
        """
        longest = max((row for plan in self.active for row in plan.batch), key=n_read)
        if self.max_tokens > max(n_read(longest), LEAST_TOKENS):
            self.max_tokens = max(n_read(longest), LEAST_TOKENS, self.max_tokens // 2)
            LOG.warning("out of memory: going on with %d tokens at once", self.max_tokens)
        elif not self.forgetful and any(True for _ in forgettable(self.lm.model)):
            self.forgetful = True
            LOG.warning("out of memory: layers compute again what they cannot keep")
        elif len(self.active) > 1:
            self.slots = len(self.active) // 2
            LOG.warning("out of memory: going on with %d slots", self.slots)
            for plan in self.active[self.slots :]:
                plan.done = 0
            self.waiting += self.active[self.slots :]
            del self.active[self.slots :]
            self.stack.shrink(self.slots)
            self.first = self.first[: self.slots].clone()
            self.second = self.second[: self.slots].clone()
            self.steps, self.losses = self.steps[: self.slots].clone(), self.losses[: self.slots]
        elif self.max_tokens > n_read(longest) and len(self.active[0].batch) > 1:
            self.max_tokens = n_read(longest)
        else:
            plan = self.active[0]
            losses: list[float] = self.losses[0, : plan.done].tolist()
            self._leave(0)
            error = f"out of memory on {len(longest.ids)} tokens"
            return [(plan.place, plan.result(losses, None, error))]
        torch.cuda.empty_cache()
        return []
