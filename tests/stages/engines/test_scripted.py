"""The shipped fake: deterministic, from the prompt and the seed alone."""

import pytest

from stages.engines import Completion, Request
from stages.engines.scripted import ScriptedEngine, some_sentences
from stages.errors import RowFailure
from stages.training import Lora

PROMPT = "List what it implies.\n\nTitle: Ost\nThe harbour is old. It has a quay. It is wide open."


def request(prompt: str = PROMPT, seed: int = 0, max_tokens: int = 99) -> Request:
    return Request(prompt, seed, max_tokens)


def test_it_rearranges_sentences_of_the_passage() -> None:
    texts = {some_sentences(request(seed=seed)) for seed in range(50)}
    assert len(texts) > 5
    sentences = {"The harbour is old.", "It has a quay.", "It is wide open."}
    assert {line for text in texts for line in text.split("\n")} == sentences


def test_the_same_request_gives_the_same_text_whatever_its_neighbours() -> None:
    engine = ScriptedEngine()
    requests = [request(seed=seed) for seed in range(20)]
    together = engine.complete(requests)
    assert together == [engine.complete([one])[0] for one in requests]
    assert together == engine.complete(requests[::-1])[::-1]


def test_words_are_its_tokens() -> None:
    engine = ScriptedEngine(lambda r: "one two three")
    assert engine.complete([request(max_tokens=3)]) == [Completion("one two three", 3, "stop")]
    assert engine.complete([request(max_tokens=2)]) == [Completion("one two", 2, "length")]


def test_a_failure_of_the_script_is_an_error_of_that_row_alone() -> None:
    def script(r: Request) -> str:
        if r.seed == 1:
            raise RowFailure("the server is down")
        return "fine"

    first, second = ScriptedEngine(script).complete([request(seed=1), request(seed=2)])
    assert first == Completion("", 0, None, "the server is down")
    assert second.text == "fine"


def test_it_wears_no_lora() -> None:
    with pytest.raises(NotImplementedError):
        ScriptedEngine().complete([request()], [Lora(1, 1, {})])
