"""What adapting does to everything else: a frozen probe set, asked before and after.

Two things are told of an adapted model: its accuracy on the probe's questions, and how far it is
from the model before on the probe's passages, KL(before || after) in nats per token (the predictor
of forgetting of arXiv 2509.04259). Decides nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from stages.errors import ResourceError
from stages.exam import Examination, Examined, Examiner, mean
from stages.models import LanguageModel
from stages.records import Adapter, Context, Question
from stages.tokens import Row
from stages.training import Lora

if TYPE_CHECKING:
    from torch import Tensor

SEMANTICS = 1
MAX_LOGITS = 1 << 26  # log-probabilities held at once, 256 MB

State = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Probe:
    """Contexts that no adapter is trained on, and the model that is asked about them.

    What is of the model before must be read while it is as it was.
    """

    contexts: Sequence[Context]
    questions: Mapping[str, Sequence[Question]]
    examiner: Examiner
    first: str | None = None  # the context that the unadapted model's rows are made for
    lm: LanguageModel | None = None  # how far it is from what it was is told by `rows`
    rows: Sequence[Row] = ()  # the passages as token ids, prefixed as in training

    @cached_property
    def unadapted(self) -> list[Examined]:
        """The model before, by passage."""
        return self.examiner.examine(self.examinations(self.first))

    @property
    def before(self) -> list[float | None]:
        """Accuracy of the model before, by passage; null where it could not be examined."""
        return [one.outcome.accuracy for one in self.unadapted]

    def baseline(self) -> float:
        """Mean accuracy of the model before. Raises ResourceError where it is not known."""
        found = mean(self.before)
        if found is None:
            reasons = (one.outcome.reason for one in self.unadapted)
            reason = next(filter(None, reasons), "it has no contexts")
            raise ResourceError(
                f"the unadapted student could not be examined on the probe: {reason}.",
                "Run the same command again, or choose another --probe.",
            )
        return found

    def examinations(
        self, made_for: str | None, adapter: Adapter | None = None, lora: Lora | None = None
    ) -> list[Examination]:
        """What a model is asked, adapted or as it is; the rows are made for another context."""
        asked = ((context, self.questions[context.context_id]) for context in self.contexts)
        return [Examination(*each, adapter, lora, made_for) for each in asked]

    def accuracies(
        self, adapter: Adapter | None = None, lora: Lora | None = None
    ) -> list[float | None]:
        """Accuracy of the model as it is now, or wearing `lora`, by passage."""
        (found,) = self._asked([(adapter, lora)])
        return found

    def measured(self, adapted: Sequence[tuple[Adapter, Lora | None]]) -> list[Adapter]:
        """The adapters' rows with their probe columns; null for what was not trained."""
        worn = [(row, lora) for row, lora in adapted if row.status == "ok" and lora is not None]
        self.before  # noqa: B018  # asked first, whatever comes after
        after = iter(self._asked(worn))
        return [
            self.told(row, next(after), self.divergence(lora))
            if row.status == "ok" and lora is not None
            else row
            for row, lora in adapted
        ]

    def told(self, row: Adapter, after: Sequence[float | None], kl: float | None) -> Adapter:
        """An adapter's row with what became of the probe; nulls where a passage failed."""
        then, now = mean(self.before), mean(after)
        change = None if then is None or now is None else now - then
        return replace(row, probe_accuracy=now, probe_change=change, probe_kl=kl)

    def divergence(self, lora: Lora | None) -> float | None:
        """KL(before || wearing `lora`); None when there is no token to tell it by."""
        from stages.training.attach import attached

        model = self.lm.model if self.lm else None
        return self.kl(after=lambda: attached(model, lora))

    def kl(self, *, before: State = nullcontext, after: State = nullcontext) -> float | None:
        """Mean KL(before || after) over the next tokens of the passages, in nats.

        Both are blocks in which the model is in that state; they are entered in turn, a few times.
        """
        total, n_tokens = 0.0, 0
        if self.lm is None:
            return None
        model = self.lm.model
        vocabulary = int(model.config.get_text_config().vocab_size)
        for rows in _groups(self.rows, MAX_LOGITS // vocabulary):
            with before():
                held = [_log_probabilities(model, row, self.lm.device) for row in rows]
            with after():
                for row, p in zip(rows, held, strict=True):
                    q = _log_probabilities(model, row, self.lm.device)
                    total += float((p.exp() * (p - q)).sum().item())
                    n_tokens += len(p)
        return total / n_tokens if n_tokens else None

    def _asked(
        self, worn: Sequence[tuple[Adapter | None, Lora | None]]
    ) -> list[list[float | None]]:
        """Accuracy by passage of each adapter, or of the model as it is; all asked together."""
        exams = [exam for each in worn for exam in self.examinations(None, *each)]
        found = [one.outcome.accuracy for one in self.examiner.examine(exams)]  # no row is kept
        width = len(self.contexts)
        return [found[i * width : (i + 1) * width] for i in range(len(worn))]


def _groups(rows: Sequence[Row], room: int) -> Iterator[list[Row]]:
    """Rows in order, as many at once as have at most `room` tokens together, at least one."""
    group: list[Row] = []
    for row in rows:
        if group and sum(len(r.ids) for r in [*group, row]) > room:
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _log_probabilities(model: Any, row: Row, device: Any) -> "Tensor":
    """What the model expects after each token of a row but the last: [tokens - 1, vocabulary]."""
    import torch

    with torch.inference_mode():
        ids = torch.tensor([row.ids], device=device)
        logits = model(input_ids=ids, use_cache=False).logits[0, :-1]
        return torch.log_softmax(logits.float(), dim=-1)
