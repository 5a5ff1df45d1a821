"""A deterministic engine without a model, for tests, examples and trying out a pipeline.

It rearranges sentences of the prompt, so that self-edits about a passage speak of the passage. It
never stands in for a model by itself: `--engine scripted` has to be asked for.
"""

import random
import re
from collections.abc import Callable, Sequence

from stages.engines import Completion, Request, Seat, given, told
from stages.errors import RowFailure
from stages.fields import Config
from stages.training import Lora


def some_sentences(request: Request) -> str:
    """One to five sentences of the last paragraphs of the prompt, one per line, by the seed."""
    body = request.prompt.split("\n\n", 1)[-1]
    sentences = [s.strip() for s in re.split(r"(?<=[.!?])\s+|\n", body) if len(s.split()) > 2]
    chance = random.Random(request.seed)
    return "\n".join(chance.sample(sentences, min(len(sentences), chance.randint(1, 5))))


def build(seat: Seat, settings: Config | None) -> "ScriptedEngine":
    """The engine; it uses no model."""
    return ScriptedEngine()


class ScriptedEngine:
    """Answers each request with `script(request)`; a RowFailure it raises becomes an error."""

    def __init__(self, script: Callable[[Request], str] = some_sentences) -> None:
        self.script = script

    def complete(
        self, requests: Sequence[Request], loras: Sequence[Lora | None] = ()
    ) -> list[Completion]:
        """One completion per request; words stand for tokens."""
        if any(lora is not None for lora in loras):
            raise NotImplementedError("a script has no weights to adapt")
        put = given(requests, None, chat=False)
        return told(requests, put, [self._one(request) for request in put])

    def rest(self) -> None:
        """Nothing: it holds no memory."""

    def used(self) -> None:
        """Nothing: no server is asked."""

    def _one(self, request: Request) -> Completion:
        try:
            words = self.script(request).split(" ")
        except RowFailure as failure:
            return Completion("", 0, None, failure.message)
        kept = words[: request.max_tokens]
        whole = len(kept) == len(words)
        return Completion(" ".join(kept), len(kept), "stop" if whole else "length")
