"""The regime `fewshot` of eval: tasks solved in context, and after test-time training (Table 1).

Three methods: `in-context` (nothing is trained), `self-edits` (what the policy wrote), `oracle`
(one self-edit that somebody chose, for every task). `stages.eval` makes the metrics of them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from stages.eval import Adapters
from stages.exam import Examination, Examiner, rows_of, wearing
from stages.identity import digest
from stages.records import Context, Question, Record, SelfEdit

SEMANTICS = 2
METHODS = ("in-context", "self-edits", "oracle")
ORACLE = "oracle"  # as method, and as prompt name and policy of its self-edits


def evaluate(
    contexts: Sequence[Context],
    *,
    questions: Mapping[str, Sequence[Question]],
    examiner: Examiner,
    write: Callable[[Sequence[Context]], Iterable[SelfEdit]],
    adapt: Callable[[Sequence[SelfEdit]], Adapters],
    oracle: str | None,
) -> list[Record]:
    """What `stages.eval.evaluate` gives, of the three methods; without an `oracle` of two."""
    edits = list(write(contexts))
    if oracle is not None:
        edits += [oracle_edit(context, oracle) for context in contexts]
    chosen = {edit.self_edit_id for edit in edits if edit.prompt_name == ORACLE}
    adapted = [
        (replace(row, method=ORACLE) if row.self_edit_id in chosen else row, lora)
        for row, lora in adapt(edits)
    ]
    asked = [Examination(c, questions[c.context_id], method=METHODS[0]) for c in contexts]
    asked += wearing(adapted, contexts, questions)
    return [*edits, *(row for row, _ in adapted), *rows_of(examiner.examine(asked))]


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
