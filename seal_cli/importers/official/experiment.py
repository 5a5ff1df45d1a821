"""What a file of results measured: who was adapted, to what, and who or what wrote that.

`exp_name` and the name of the file are used where nothing else tells a method apart, never as the
name of a model.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from seal_cli.importers.official import labels
from seal_cli.importers.official.labels import Writer
from stages.interval import Interval
from stages.records import Metric, Policy

UNADAPTED, PASSAGES, EDITS = "unadapted", "passage-only", "self-edits"
ADAPTER = "generative-adapter"
PAIRS, TRIPLES = "entigraph-pairs", "entigraph-pairs+triples"
GENERATORS = {
    ADAPTER: "generative adapter",
    PAIRS: "EntiGraph pairs",
    TRIPLES: "EntiGraph pairs+triples",
}
MANY_TEXTS = 7.5  # per passage; EntiGraph wrote 5 about pairs, 10 about pairs and triples
# What no file says of the training of an adapter.
_COUNTS = ("seed", "reason", "n_sequences", "n_tokens", "n_steps")
UNKNOWN: dict[str, Any] = dict.fromkeys((*_COUNTS, "first_loss", "last_loss", "seconds"))
MISTRAL = "Mistral-7B-Instruct-v0.2"  # of the generative adapter, where a file names no model


@dataclass(frozen=True)
class Experiment:
    """One evaluation."""

    student: Writer
    writer: Writer
    method: str  # what the adapted answers stand for, as in `answers`
    prompt: str | None  # null where no self-edit was learned
    dataset: str  # what the metrics call it

    @property
    def models(self) -> Iterator[Policy]:
        """The models in it and their parents, each once."""
        found = (*self.student.rows, *(self.writer.rows if self.method == EDITS else ()))
        yield from {row.policy: row for row in found}.values()

    @property
    def names(self) -> list[str]:
        """What of it is not in the file's content, or is an interpretation of that."""
        return [
            self.student.policy,
            self.writer.policy,
            self.method,
            self.prompt or "",
            self.dataset,
        ]

    def about(self, method: str) -> Writer:
        """The model that a number of this method is about: who wrote the self-edits, if any."""
        return self.writer if method == EDITS else self.student

    def metric(self, method: str, name: str, found: Interval, **columns: Any) -> Metric:
        """A number of a method, with who or what wrote the texts that it learned, for people."""
        edits = method == EDITS
        return Metric(
            policy=self.about(method).policy,
            round=self.about(method).round,
            dataset=self.dataset,
            method=method,
            step=None,
            position=None,
            metric=name,
            ci_low=found.low,
            ci_high=found.high,
            generator=self.writer.title if edits else GENERATORS.get(method),
            prompt_name=self.prompt if edits else None,
            **columns,
        )


def adapts_at_once(*names: str | None) -> bool:
    """Whether a run is of the generative adapter (`cpt_ga`, `eval_ga`), by any of its names."""
    found = (re.search(r"generative|(^|[/_-])ga([/_-]|$)", (name or "").lower()) for name in names)
    return any(found)


def mistral(model: str | None) -> Writer:
    """The model that the generative adapter is for."""
    name = PurePosixPath(model or MISTRAL).name
    return Writer(name.removeprefix("Generative-Adapter-"))


def entigraph(dataset: str, stem: str, texts: float) -> str | None:
    """EntiGraph's method, or null for a run on anything else.

    Triples of entities were learned, too, where a name or the number of `texts` per passage says
    so: the paper has 5 of pairs, 10 of both.
    """
    names = f"{labels.stem_of(dataset)} {stem}".lower()
    if "enti" not in names:
        return None
    return TRIPLES if "trip" in names or texts > MANY_TEXTS else PAIRS
