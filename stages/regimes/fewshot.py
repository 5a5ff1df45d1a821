"""The regime `fewshot` of eval: tasks solved in context, and after test-time training (Table 1).

Three methods: `in-context` (nothing is trained), `self-edits` (what the policy wrote), `oracle`
(one self-edit that somebody chose, for every task). `stages.eval` makes the metrics of them.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from stages.exam import Examination, Examiner
from stages.identity import digest
from stages.records import Adapter, Answer, Context, Question, SelfEdit, Verdict
from stages.training import Lora

SEMANTICS = 2
METHODS = ("in-context", "self-edits", "oracle")
ORACLE = "oracle"  # as prompt name and as policy of its self-edits


def evaluate(
    contexts: Sequence[Context],
    *,
    questions: Mapping[str, Sequence[Question]],
    examiner: Examiner,
    write: Callable[[Sequence[Context]], Iterable[SelfEdit]],
    adapt: Callable[[Sequence[SelfEdit]], Iterable[tuple[Adapter, Lora | None]]],
    oracle: str | None,
) -> Iterator[SelfEdit | Adapter | Answer | Verdict]:
    """Self-edits, adapters, answers and verdicts of the three methods, these contexts together.

    `oracle` is a self-edit; without one that method is left out.
    """
    by_id = {context.context_id: context for context in contexts}
    edits = list(write(contexts))
    if oracle is not None:
        edits += [oracle_edit(context, oracle) for context in contexts]
    yield from edits
    chosen = {edit.self_edit_id for edit in edits if edit.prompt_name == ORACLE}
    adapted = list(adapt(edits))
    yield from (row for row, _ in adapted)
    examinations = [
        Examination(context, questions[context.context_id], method="in-context")
        for context in contexts
    ]
    examinations += [
        Examination(by_id[row.context_id], questions[row.context_id], row, lora, of(row, chosen))
        for row, lora in adapted
    ]
    yield from examiner.examine(examinations)


def of(adapter: Adapter, oracles: Collection[str | None]) -> str:
    """The method that an adapter belongs to; `oracles` are the ids of the oracle's self-edits."""
    return "oracle" if adapter.self_edit_id in oracles else "self-edits"


def oracle_edit(context: Context, completion: str) -> SelfEdit:
    """The oracle's self-edit as a row of its own: nobody wrote it for this context."""
    return SelfEdit(
        self_edit_id=digest(context.context_id, ORACLE, completion),
        context_id=context.context_id,
        sample=0,
        policy=ORACLE,
        round=0,
        prompt_name=ORACLE,
        prompt="",
        completion=completion,
        status="ok",
        reason=None,
        n_tokens=None,
        seed=None,
        finish=None,
    )
