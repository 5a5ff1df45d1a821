"""adapt: one throw-away LoRA per self-edit and repeat, θ′ ← SFT(θ, SE) (paper §3.1, inner loop).

Turns self-edits into training rows and hands them to a trainer; asks the adapted model nothing.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from stages.config import AdaptConfig
from stages.domains import Domain
from stages.errors import InvalidSelfEdit
from stages.identity import canonical, derive_seed, digest
from stages.records import Adapter, Context, Example, SelfEdit, Status, Training
from stages.tokens import Row, learnable, render, row
from stages.training import Job, Lora, Trained, Trainer

SEMANTICS = 3


@dataclass(frozen=True)
class Student:
    """The model that is adapted: its id, its tokenizer, and the modules a LoRA is put on."""

    student: str
    tokenizer: Any
    targets: tuple[str, ...]
    chat: bool = False  # whether a prompt goes into its chat template


@dataclass(frozen=True)
class _Planned:
    """An adapter row before training; without a job when there is nothing to train on."""

    row: Adapter
    job: Job | None


@dataclass(frozen=True)
class Inner:
    """The inner loop on one student: who trains it, what a self-edit becomes, and the settings."""

    student: Student
    trainer: Trainer
    domain: Domain
    config: AdaptConfig

    def adapt(
        self,
        self_edits: Sequence[SelfEdit],
        contexts: Mapping[str, Context],
        repeats: Sequence[int] | None = None,
    ) -> Iterator[tuple[Adapter, Lora | None]]:
        """`config.repeats` adapters per self-edit, in order, each with its weights.

        Given `repeats`, these of them: each is what it would be among all. A self-edit that is not
        `ok` passes its status and reason on and is not trained; a job that fails is a `failed` row.
        Both come without weights.
        """
        planned = [
            self._plan(contexts[edit.context_id], edit, repeat)
            for edit in self_edits
            for repeat in (range(self.config.repeats) if repeats is None else repeats)
        ]
        yield from _train(planned, self.trainer)

    def adapt_to_passages(
        self, contexts: Sequence[Context]
    ) -> Iterator[tuple[Adapter, Lora | None]]:
        """The paper's baseline: trained on the passage alone, `config.repeats` per context."""
        repeats = range(self.config.repeats)
        planned = [self._plan(context, None, repeat) for context in contexts for repeat in repeats]
        yield from _train(planned, self.trainer)

    def rehearse(
        self, edit: SelfEdit, earlier: Sequence[SelfEdit], contexts: Mapping[str, Context]
    ) -> tuple[Adapter, Lora | None]:
        """One adapter as `adapt` trains it, on `earlier` self-edits and their passages as well."""
        plan, *others = (self._plan(contexts[e.context_id], e, 0) for e in (edit, *earlier))
        again = [old for old in others if old.job is not None]
        if plan.job is not None and again:
            rows = plan.job.rows + tuple(row for old in again if old.job for row in old.job.rows)
            reason = plan.row.reason
            for old in again:
                reason = also(reason, old.row.reason and f"replayed: {old.row.reason}")
            n_tokens = sum(len(row.ids) for row in rows)
            known = replace(plan.row, n_sequences=len(rows), n_tokens=n_tokens, reason=reason)
            plan = _Planned(known, replace(plan.job, rows=rows))
        (result,) = _train([plan], self.trainer)
        return result

    def jobs(
        self, self_edits: Sequence[SelfEdit], contexts: Mapping[str, Context]
    ) -> Iterator[tuple[SelfEdit, Job]]:
        """What `adapt` would train, one repeat of each usable self-edit: for measuring trainers."""
        for edit in self_edits:
            planned = self._plan(contexts[edit.context_id], edit, 0)
            if planned.job is not None:
                yield edit, planned.job

    def _plan(self, context: Context, edit: SelfEdit | None, repeat: int) -> _Planned:
        """The row and, if the self-edit is usable, the job of one adapter."""
        student, config = self.student, self.config
        status, reason, rows = self._rows(context, edit)
        wanted = self.domain.training(edit.completion) if edit and status == "ok" else Training()
        beyond = _beyond(wanted, len(rows), config)
        if beyond:
            status, reason, wanted = "invalid", beyond, Training()
        decided = {
            "epochs": wanted.epochs or config.epochs,
            "learning_rate": wanted.learning_rate or config.learning_rate,
        }
        hyperparameters = self.hyperparameters(decided)
        source = edit.self_edit_id if edit else f"passage {context.context_id}"
        # By the text, not by the sample: one self-edit sampled twice is one job.
        content = digest(context.context_id, edit.prompt_name, edit.completion) if edit else source
        seed = derive_seed(config.seed, content, repeat)
        adapter = self.untrained(
            rows,
            adapter_id=digest(student.student, source, repeat, config.seed, hyperparameters),
            self_edit_id=edit.self_edit_id if edit else None,
            context_id=context.context_id,
            method="self-edits" if edit else "passage-only",
            repeat=repeat,
            seed=seed,
            status=status,
            reason=reason,
            hyperparameters=hyperparameters,
        )
        if status != "ok":
            return _Planned(adapter, None)
        return _Planned(adapter, config.job(rows, student.targets, seed, **decided))

    def _rows(
        self, context: Context, edit: SelfEdit | None
    ) -> tuple[Status, str | None, list[Row]]:
        """What is trained on, and how that went: nothing where the status is not ok."""
        config, known = self.config, {}
        limit = config.max_sequences
        while True:  # rows that are dropped for their length make room for others
            status, reason, examples = self._lessons(context, edit, limit)
            for example in examples:
                if example not in known:
                    known[example] = self.tokenised(example)
            every = [known[example] for example in examples]
            rows, note = fitting(every, config)
            wanted = config.max_sequences + len(every) - len(rows)
            if config.over_length != "drop" or len(examples) < limit or wanted <= limit:
                break
            limit = wanted
        reason = also(reason, note)
        if status == "ok" and not rows:
            # Too long is nobody's doing, nor is a passage; a self-edit of nothing is the policy's.
            blame = edit is not None and not any(row.cut for row in every)
            status, reason = (
                ("invalid" if blame else "failed"),
                also("no token to learn from", note),
            )
        return status, reason, rows

    def _lessons(
        self, context: Context, edit: SelfEdit | None, limit: int
    ) -> tuple[Status, str | None, list[Example]]:
        """The first `limit` training sequences, and how many more there were."""
        if edit is None:
            return "ok", None, self.domain.passage_lessons(context)
        if edit.status != "ok":
            return edit.status, edit.reason, []
        try:
            told = (context, edit.completion, edit.prompt_name)
            every = self.domain.lessons(*told, limit=10**9, split=edit.text_split)
            kept = self.domain.lessons(*told, limit=limit, split=edit.text_split)
        except InvalidSelfEdit as invalid:
            return "invalid", invalid.message, []
        dropped = len(every) - len(kept)
        note = (
            f"{dropped} of {len(every)} sequences over max-sequences left out" if dropped else None
        )
        return "ok", note, kept

    def tokenised(self, example: Example) -> Row:
        """An example as the student will read it; a text without a prompt needs no template."""
        tokenizer, config = self.student.tokenizer, self.config
        if example.prompt:
            chat = self.student.chat
            given = render(tokenizer, example.prompt, example.system, chat=chat)
            example = replace(example, prompt=given)
        return row(tokenizer, example, max_length=config.max_length, pad_targets=config.pad_targets)

    def untrained(self, rows: Sequence[Row], **columns: Any) -> Adapter:
        """An adapter's row before it is trained on these."""
        return Adapter(
            student=self.student.student,
            n_sequences=len(rows),
            n_tokens=sum(len(row.ids) for row in rows),
            n_steps=0,
            first_loss=None,
            last_loss=None,
            seconds=0.0,
            **columns,
        )

    def hyperparameters(self, decided: Mapping[str, object]) -> str:
        """What decided this adapter, as JSON for SQL to look into."""
        settled = {"targets": list(self.student.targets), "chat": self.student.chat}
        domain = self.domain
        own = {domain.NAME: domain.settings.key()} if domain.settings else {}
        fields = self.config.key() | settled | dict(decided) | own
        del fields["repeats"], fields["seed"]
        return canonical(fields)


def _train(planned: Sequence[_Planned], trainer: Trainer) -> Iterator[tuple[Adapter, Lora | None]]:
    """Equal jobs (a self-edit that was sampled twice) are trained once and have a row each."""
    uses = Counter(plan.job for plan in planned if plan.job is not None)
    results = trainer.train(list(uses))
    trained: dict[Job, Trained] = {}
    for plan in planned:
        if plan.job is None:
            yield plan.row, None
            continue
        row = plan.row
        if plan.job in trained:
            row = replace(row, reason=also(row.reason, "trained once with one just like it"))
        else:
            trained[plan.job] = next(results)
        uses[plan.job] -= 1
        done = trained[plan.job] if uses[plan.job] else trained.pop(plan.job)
        yield finished(row, done)


def finished(row: Adapter, trained: Trained) -> tuple[Adapter, Lora | None]:
    """An adapter's row with how its training went, and its weights."""
    fields = asdict(row) | {
        "n_steps": trained.n_steps,
        "first_loss": trained.first_loss,
        "last_loss": trained.last_loss,
        "seconds": trained.seconds,
        "alone": trained.alone,
    }
    if trained.error is not None:
        fields |= {"status": "failed", "reason": trained.error}
    return Adapter(**fields), trained.lora


def _beyond(wanted: Training, n_rows: int, config: AdaptConfig) -> str | None:
    """Why what a self-edit wants is more than it may have; None where it may, or wants nothing."""
    if wanted.epochs is not None and wanted.epochs > config.max_epochs:
        return f"{wanted.epochs} epochs, more than max-epochs {config.max_epochs}"
    if wanted.learning_rate is not None and wanted.learning_rate > config.max_learning_rate:
        limit = config.max_learning_rate
        return f"learning rate {wanted.learning_rate}, more than max-learning-rate {limit}"
    steps = (wanted.epochs or 0) * math.ceil(n_rows / config.batch_size)
    if steps > config.max_steps:
        return f"{steps} optimizer steps, more than max-steps {config.max_steps}"
    return None


def fitting(every: Sequence[Row], config: AdaptConfig) -> tuple[list[Row], str | None]:
    """The rows to train on, and what is to be said of the others."""
    drops = config.over_length == "drop"
    targeted = learnable(every)
    rows = [row for row in targeted if not (drops and row.cut)]
    n_over = sum(row.cut for row in every) if drops else 0
    counts = {
        "cut at max-length": sum(row.cut for row in rows),
        "over max-length left out": n_over,
        "without a target left out": len(every) - len(rows) - n_over,
    }
    said = [f"{n} of {len(every)} sequences {what}" for what, n in counts.items() if n]
    return rows, "; ".join(said) or None


def also(reason: str | None, note: str | None) -> str | None:
    """A reason with a note after it."""
    return f"{reason}; {note}" if reason and note else reason or note
