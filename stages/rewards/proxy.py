"""The proxy reward: a model judges the text of a self-edit by a rubric; nothing is trained.

The paper's cheap stand-in (GPT-4.1, four respects of 1 to 5 points, their sum of 4 to 20 the
reward). The rubric's words here are ours. It does not say what a student would learn: see
`seal report reward-agreement`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.domains import knowledge
from stages.engines import Completion, Engine, Request
from stages.errors import RowFailure
from stages.records import Context, Rating, Reward, SelfEdit
from stages.rewards import PROXY

SEMANTICS = 1
RESPECTS = ("length", "diversity", "quality", "correctness")
GRADER = "rubric"
RUBRIC = Path(knowledge.PROMPTS / "rubric.txt")
_SLOTS = re.compile(r"\{title\}|\{context\}|\{completion\}")
_LINE = re.compile(r"[\s>*_#-]*(\w+)[\s*_]*[:=]?[\s*_]*(\d+)(?:\s*/\s*5)?[\s*_.]*")


@dataclass(frozen=True)
class Judge:
    """A model on an engine."""

    model: str
    engine: Engine


def proxy(
    self_edits: Sequence[SelfEdit],
    *,
    contexts: Mapping[str, Context],
    judge: Judge,
    rubric: str,
    floor: float,
    max_tokens: int,
) -> Iterator[Rating | Reward]:
    """A rating per self-edit that can be judged, and a reward for each, in order.

    A judgement that cannot be read makes its reward `failed`; an invalid self-edit earns `floor`.
    """
    usable = [edit for edit in self_edits if edit.status == "ok"]
    requests = [Request(_prompt(rubric, contexts[e.context_id], e), 0, max_tokens) for e in usable]
    said = iter(judge.engine.complete(requests))
    for edit in self_edits:
        if edit.status != "ok":
            yield _reward(edit, None, floor)
            continue
        rating = _rating(edit, next(said), judge)
        yield rating
        yield _reward(edit, rating, floor)


def _prompt(rubric: str, context: Context, edit: SelfEdit) -> str:
    filled = {
        "{title}": context.title,
        "{context}": context.text,
        "{completion}": edit.completion,
    }
    return _SLOTS.sub(lambda found: filled[found[0]], rubric).rstrip("\n")


def points(text: str) -> dict[str, int]:
    """The four numbers of a judgement; the first may follow the prompt's last word directly.

    Raises RowFailure for a respect that is missing, given twice, or no whole number from 1 to 5.
    """
    if re.match(r"\s*\d", text):
        text = f"{RESPECTS[0]}: {text.lstrip()}"
    found: dict[str, int] = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        respect = match[1].lower() if match else ""
        if match is None or respect not in RESPECTS:
            continue
        if respect in found:
            raise RowFailure(f"the judge gave {respect} twice")
        found[respect] = int(match[2])
    missing = [respect for respect in RESPECTS if respect not in found]
    if missing:
        raise RowFailure(f"the judge gave no number for {', '.join(missing)}")
    outside = [f"{k} {v}" for k, v in found.items() if not 1 <= v <= 5]
    if outside:
        raise RowFailure(f"the judge gave {', '.join(outside)}: not from 1 to 5")
    return found


def _rating(edit: SelfEdit, said: Completion, judge: Judge) -> Rating:
    found: dict[str, int] = {}
    reason = said.error
    if reason is None:
        try:
            found = points(said.text)
        except RowFailure as failure:
            reason = failure.message
    return Rating(
        self_edit_id=edit.self_edit_id,
        context_id=edit.context_id,
        judge=judge.model,
        text=said.text,
        length=found.get("length"),
        diversity=found.get("diversity"),
        quality=found.get("quality"),
        correctness=found.get("correctness"),
        status="failed" if reason else "ok",
        reason=reason,
    )


def _reward(edit: SelfEdit, rating: Rating | None, floor: float) -> Reward:
    """The sum of the points; without a rating, what the self-edit's own status says."""
    status, reason = (rating.status, rating.reason) if rating else (edit.status, edit.reason)
    worth: float | None = floor if status == "invalid" else None
    if rating is not None and status == "ok":
        worth = float(sum(getattr(rating, respect) for respect in RESPECTS))
    return Reward(
        self_edit_id=edit.self_edit_id,
        context_id=edit.context_id,
        sample=edit.sample,
        policy=edit.policy,
        round=edit.round,
        student=edit.policy,
        grader=GRADER,
        baseline_accuracy=None,
        adapted_accuracy=None,
        adapted_std=None,
        gain=None,
        reward=worth,
        n_repeats=0,
        n_questions=None,
        status=status,
        reason=reason,
        rule=PROXY.name,
    )
