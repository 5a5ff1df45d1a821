"""What a policy learns from a self-edit: pairs of an exact prompt and what was written to it."""

from collections.abc import Callable

from stages import trace
from stages.records import Context, Example, SelfEdit
from stages.trace import Entry

ENTRIES = [
    Entry("things", (), "List: Ост \ud83d", "Ost\nlight", 2, 7, "stop"),
    Entry("pairs", ("Ost", "light"), "Ost and light?", "Its light", 2, 2**62, "length"),
    Entry("pairs", ("Ost", "quay"), "Ost and quay?", "", 0, 9, None, "the server is down"),
]


def test_a_trace_comes_back_as_it_was() -> None:
    assert trace.from_json(trace.to_json(ENTRIES)) == ENTRIES


def test_one_step_is_one_pair(contexts: dict[str, Context], edit: Callable[..., SelfEdit]) -> None:
    context = next(iter(contexts.values()))
    whole, cut = edit(context, "Old."), edit(context, "Ol", finish="length")
    assert trace.pairs(whole) == [Example(whole.prompt, "Old.")]
    assert trace.pairs(cut) == [Example(cut.prompt, "Ol", ends=False)]


def test_several_steps_are_a_pair_for_each_request_that_was_answered(
    contexts: dict[str, Context], edit: Callable[..., SelfEdit]
) -> None:
    context = next(iter(contexts.values()))
    row = edit(context, "Its light", trace=trace.to_json(ENTRIES), text_split="blocks")
    assert trace.pairs(row) == [
        Example("List: Ост \ud83d", "Ost\nlight"),
        Example("Ost and light?", "Its light", ends=False),
    ]
