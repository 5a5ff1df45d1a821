"""The regime fewshot: in context, with self-edits, with an oracle's; and voting."""

from typing import Any

from arc_made import call

from stages.config import ScoreConfig
from stages.domains.arc import Arc
from stages.engines import Completion
from stages.eval import Measured, summarise
from stages.exam import Examination, Examiner
from stages.grading import GRADERS
from stages.records import Adapter, Answer, SelfEdit, Verdict
from stages.regimes import fewshot

arc = Arc()

TASK = {
    "title": "turn",
    "train": [{"input": [[i, 2]], "output": [[2, i]]} for i in (1, 3, 4)],
    "test": [{"input": [[7, 8]], "output": [[8, 7]]}, {"input": [[6, 5]], "output": [[5, 6]]}],
}


class Turner:
    """Turns the last grid as the rule wants, in every view, when adapted; copies it else."""

    def __init__(self, wrong_views: int = 0) -> None:
        self.wrong, self.asked = wrong_views, 0

    def complete(self, requests: Any, loras: Any = ()) -> list[Completion]:
        said = []
        for request, lora in zip(requests, loras or [None] * len(requests), strict=True):
            grid = request.prompt.split("Input:\n")[-1].split("\nOutput:")[0]
            rows = [line.split() for line in grid.splitlines()]
            # Sideways views have the two cells below each other.
            turned = [row[::-1] for row in rows] if len(rows) == 1 else rows[::-1]
            self.asked += 1
            right = lora is not None and self.asked > self.wrong
            said.append("\n".join(" ".join(row) for row in (turned if right else rows)))
        return [Completion(text, 3, "stop") for text in said]


def examiner(engine: Any, **config: Any) -> Examiner:
    grader = GRADERS["arc-grid"]
    return Examiner("s", engine, arc, grader, ScoreConfig(grader="arc-grid", **config))


def adapter(edit: SelfEdit, status: str = "ok") -> Adapter:
    made = f"adapter {edit.self_edit_id}"
    return Adapter(
        made, edit.self_edit_id, edit.context_id, "self-edits", "s", 0, 1, status, None, "{}",
        1, 1, 1, 1, 1, 1,
    )  # fmt: skip


def evaluated(
    policy: Any, edit: Any, status: str = "ok", wrong: int = 0
) -> tuple[list[Any], dict[str, Any]]:
    """All rows, and the metrics by method; the first `wrong` grids are wrong in any case."""
    context, questions = arc.read(TASK, ordinal=0, split="")
    rows = fewshot.evaluate(
        [context],
        questions={context.context_id: questions},
        examiner=examiner(Turner(wrong)),
        write=lambda contexts: [edit(context, call(epochs=1))],
        adapt=lambda edits: [
            (adapter(e, "ok" if e.prompt_name == "oracle" else status), object()) for e in edits
        ],
        oracle=call(epochs=2),
    )
    metrics = summarise(
        rows,
        questions={context.context_id: questions},
        measured=Measured(policy, "d", "fewshot", "arc-grid"),
        methods=fewshot.METHODS,
    )
    return rows, {(m.method, m.metric): m.value for m in metrics}


def test_the_three_methods(policy: Any, edit: Any) -> None:
    rows, values = evaluated(policy, edit)
    assert values == {
        ("in-context", "accuracy"): 0.0,
        ("in-context", "success"): 0.0,
        ("self-edits", "accuracy"): 1.0,
        ("self-edits", "gain"): 1.0,
        ("self-edits", "success"): 1.0,
        ("self-edits", "success_gain"): 1.0,
        ("oracle", "accuracy"): 1.0,
        ("oracle", "gain"): 1.0,
        ("oracle", "success"): 1.0,
        ("oracle", "success_gain"): 1.0,
    }
    (oracle,) = [r for r in rows if isinstance(r, SelfEdit) and r.policy == "oracle"]
    assert oracle.completion == call(epochs=2)
    assert [row.method for row in rows if isinstance(row, Adapter)] == ["self-edits", "oracle"]
    methods = [row.method for row in rows if isinstance(row, Answer)]
    assert methods == ["in-context"] * 2 + ["self-edits"] * 2 + ["oracle"] * 2


def test_an_invalid_self_edit_answers_nothing_right_and_only_for_its_method(
    policy: Any, edit: Any
) -> None:
    _, values = evaluated(policy, edit, status="invalid")
    assert values["self-edits", "accuracy"] == 0.0
    assert values["oracle", "accuracy"] == 1.0


def test_a_task_is_solved_when_all_its_tests_are(policy: Any, edit: Any) -> None:
    # The two asked in context are wrong anyway; the third is the self-edit's first of two.
    _, values = evaluated(policy, edit, wrong=3)
    assert (values["self-edits", "accuracy"], values["self-edits", "success"]) == (0.5, 0.0)
    assert (values["self-edits", "gain"], values["self-edits", "success_gain"]) == (0.5, 0.0)
    assert (values["oracle", "accuracy"], values["oracle", "success"]) == (1.0, 1.0)


def voted(wrong_views: int) -> tuple[Answer, Verdict]:
    context, questions = arc.read(TASK, ordinal=0, split="")
    made = SelfEdit(
        "e", context.context_id, 0, "p", 0, "n", "", call(), "ok", None, None, None, None
    )
    one = Examination(context, questions[:1], adapter(made), object())  # type: ignore[arg-type]
    ((rows, _),) = examiner(Turner(wrong_views), voting=True).examine([one])
    answer, verdict = rows
    assert isinstance(answer, Answer)
    assert isinstance(verdict, Verdict)
    return answer, verdict


def test_voting_takes_every_view_back_and_gives_two_attempts() -> None:
    answer, verdict = voted(wrong_views=0)
    assert (answer.text, verdict.correct, answer.n_tokens) == ("[[8,7]]", True, 24)
    answer, verdict = voted(wrong_views=5)
    assert (answer.text, verdict.correct) == ("[[7,8]]\n[[8,7]]", True)
    answer, verdict = voted(wrong_views=8)
    assert (answer.text, verdict.correct) == ("[[7,8]]", False)
