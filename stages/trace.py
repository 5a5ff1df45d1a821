"""What a recipe of several steps asked and was told, as JSON, and what is learned from that."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

from stages.identity import canonical
from stages.records import Example, SelfEdit


@dataclass(frozen=True, slots=True)
class Entry:
    """One request: of which step, about which items, the exact prompt and what was written."""

    step: str
    items: tuple[str, ...]
    prompt: str
    output: str
    n_tokens: int | None
    seed: int
    finish: Literal["stop", "length"] | None
    error: str | None = None


def to_json(entries: Iterable[Entry]) -> str:
    """The column `trace`: a list of objects with the fields of `Entry`."""
    return canonical([asdict(entry) for entry in entries])


def from_json(trace: str) -> list[Entry]:
    """The entries that `to_json` wrote."""
    return [Entry(**row | {"items": tuple(row["items"])}) for row in json.loads(trace)]


def pairs(edit: SelfEdit) -> list[Example]:
    """What the policy was given and what it wrote, request by request: what an update learns from.

    Of a recipe of several steps that is every request in order, those whose texts are not trained
    on included: to write a good self-edit is to do each step well. A request that nothing was
    written to has nothing to learn. What was cut at its token limit has no end.
    """
    if edit.trace is None:
        return [Example(edit.prompt, edit.completion, ends=edit.finish != "length")]
    return [
        Example(entry.prompt, entry.output, ends=entry.finish != "length")
        for entry in from_json(edit.trace)
        if entry.output
    ]
