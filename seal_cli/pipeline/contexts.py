"""The records a stage works on, read from its input artifacts and grouped by context."""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from seal_cli.store.artifact import Artifact
from seal_cli.store.schema import TABLE_OF, as_now, from_table
from stages.domains import DOMAINS, Domain
from stages.errors import InputError
from stages.records import Context, Question

if TYPE_CHECKING:
    import pyarrow as pa


class OfContext(Protocol):
    """A record that is made for a context; an adapter may be for many."""

    @property
    def context_id(self) -> str | None:
        """Its id."""


T = TypeVar("T", bound=OfContext)


@dataclass(frozen=True)
class ContextSet:
    """The contexts and questions of one artifact, read when first asked for."""

    artifact: Artifact

    @property
    def domain(self) -> Domain:
        """Their domain, known from the manifest alone. Raises InputError for one we do not have."""
        name = self.artifact.about("domain")
        if name not in DOMAINS:
            raise InputError(
                f"{self.artifact.id} is about {name}, which this version has no domain for.",
                f"It has: {', '.join(DOMAINS)}.",
            )
        return DOMAINS[name]

    @cached_property
    def contexts(self) -> dict[str, Context]:
        """By id, in order."""
        return {context.context_id: context for context in self.artifact.rows(Context)}

    @cached_property
    def questions(self) -> Mapping[str, list[Question]]:
        """By context id, in order; an empty list for a context without questions."""
        return group(self.artifact.rows(Question))

    def require_questions(self) -> None:
        """Raise InputError when there is nothing to examine anybody on."""
        if not any(self.questions.values()):
            raise InputError(
                f"the contexts of {self.artifact.id} have no questions.",
                "Import them with questions: without, nothing can be scored.",
            )

    def slice(self, limit: int, offset: int) -> list[str]:
        """Ids of `limit` contexts from `offset` on, wrapping around, none twice; 0 is all."""
        ids = list(self.contexts)
        if not ids:
            raise InputError(f"{self.artifact.id} has no contexts.", "Import some.")
        count = min(limit or len(ids), len(ids))
        return [ids[(offset + i) % len(ids)] for i in range(count)]


def group(rows: Iterable[T]) -> Mapping[str, list[T]]:
    """Rows by context id, order kept."""
    grouped: defaultdict[str, list[T]] = defaultdict(list)
    for row in rows:
        grouped[str(row.context_id)].append(row)
    return grouped


def pick(grouped: Mapping[str, Sequence[T]], context_ids: Sequence[str]) -> list[T]:
    """The rows of these contexts, in their order."""
    return [row for context_id in context_ids for row in grouped[context_id]]


class Stored(Generic[T]):
    """The rows of a table by context: Arrow, of which those of a batch are made into records."""

    def __init__(self, record: type[T], table: "pa.Table") -> None:
        self.record, self.table = record, table.drop_columns(["artifact_id"])
        self._places: defaultdict[str | None, array[int]] = defaultdict(lambda: array("q"))
        for place, context_id in enumerate(table.column("context_id").to_pylist()):
            self._places[context_id].append(place)

    @classmethod
    def of(cls, artifact: Artifact, record: type[T]) -> "Stored[T]":
        """All of an artifact's rows. Raises InputError where it has no such table."""
        name = TABLE_OF[record]  # type: ignore[index]  # T is one of the records
        return cls(record, as_now(name, artifact.arrow(name)))

    def pick(self, context_ids: Sequence[str]) -> list[T]:
        """The rows of these contexts, in their order."""
        import pyarrow as pa

        places = [i for name in context_ids for i in self._places.get(name, ())]
        return from_table(self.record, self.table.take(pa.array(places, pa.int64())))
