"""regrade: stored answers, judged again by another grader; what they earned and showed under it.

Runs no model: an answer is what it was, only its verdict is new. The rules of a reward and of a
metric are those of `score` and `eval`. What cannot be judged again is a failed row, never a wrong
answer, and a self-edit that was invalid stays invalid.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from itertools import chain
from typing import Any

from stages import eval as evaluation
from stages.exam import Outcome, judge, mean_of, outcome_of
from stages.grading import Grader
from stages.records import Adapter, Answer, Metric, Policy, Question, Reward, Sourced, Verdict
from stages.score import earned

SEMANTICS = 2
# A row that is made here was read nowhere.
_HERE: dict[str, Any] = dict.fromkeys(field.name for field in fields(Sourced))


def rewards(
    stored: Sequence[Reward],
    *,
    answers: Sequence[Answer],
    adapters: Sequence[Adapter],
    questions: Mapping[str, Question],
    grader: Grader,
) -> Iterator[Verdict | Reward]:
    """A verdict on every answer, then every reward under the new grader, in order.

    `questions` are by id. `adapters` tell what was examined and what could not be; an import may
    have none, then the stored number of repeats has to be there.
    """
    verdicts = {verdict.answer_id: verdict for verdict in judged(answers, questions, grader)}
    yield from verdicts.values()
    unadapted: defaultdict[str, list[Answer]] = defaultdict(list)
    by_edit: defaultdict[str, list[Answer]] = defaultdict(list)
    probed: defaultdict[str | None, list[Answer]] = defaultdict(list)
    for answer in answers:
        if answer.scope == "probe":
            probed[answer.self_edit_id].append(answer)
        elif answer.self_edit_id is not None:
            by_edit[answer.self_edit_id].append(answer)
        elif answer.method == "unadapted":
            unadapted[answer.context_id].append(answer)
    worn: defaultdict[str, list[Adapter]] = defaultdict(list)
    for adapter in adapters:
        worn[str(adapter.self_edit_id)].append(adapter)
    for reward in stored:
        given, trained = by_edit[reward.self_edit_id], worn[reward.self_edit_id]
        alone = unadapted[reward.context_id]  # an import may not have examined it: then it is null
        baseline = _outcome(alone, verdicts, reward) if alone else Outcome(None)
        outcomes = _outcomes(given, trained, verdicts, reward)
        yield replace(
            _regraded(reward, baseline, outcomes, grader),
            probe_baseline=_probed(probed[None], verdicts),
            probe_accuracy=_probed(probed[reward.self_edit_id], verdicts),
        )


def _probed(answers: Sequence[Answer], verdicts: Mapping[str, Verdict]) -> float | None:
    """What is kept of the probe, or null: the mean over its contexts, of every repeat."""
    asked: defaultdict[tuple[str | None, str | None], list[Answer]] = defaultdict(list)
    for answer in answers:
        asked[answer.adapter_id, answer.about_context_id].append(answer)
    outcomes = []
    for given in asked.values():
        failed = next((answer for answer in given if answer.status != "ok"), None)
        known = [verdicts[answer.answer_id] for answer in given if failed is None]
        outcomes.append(Outcome(None, "failed", failed.reason) if failed else outcome_of(known))
    return mean_of(outcomes)


def metrics(
    stored: Sequence[Metric],
    *,
    answers: Callable[[], Iterable[Answer]],
    verdicts: Iterable[Verdict],
    adapters: Sequence[Adapter],
    questions: Mapping[str, Sequence[Question]],
    grader: str,
) -> Iterator[Metric]:
    """The metrics of one evaluation under the grader that gave these verdicts on its answers.

    `answers` gives them anew at each call; `questions` are those of each context. An evaluation in
    the regime `cpt` may have asked only some of them: what was asked is what counts. A number is
    about the model that the stored one of its method is about: who was asked may be another than
    who wrote the self-edits.
    """
    row = stored[0]
    known = {metric.method: metric for metric in reversed(stored)}
    given: set[str] = set()
    about: dict[str, None] = {}
    found = {adapter.method for adapter in adapters}
    for answer in answers():
        given.add(answer.question_id)
        about[answer.context_id] = None
        found.add(answer.method)
    usual = [method for method in evaluation.METHODS if method in found]
    policy = Policy(row.policy, "", None, row.round, None, "base", None)
    for metric in evaluation.summarise(
        chain(adapters, answers(), verdicts),
        questions={key: _asked(questions.get(key, ()), given, row.regime) for key in about},
        measured=evaluation.Measured(policy, row.dataset, row.regime, grader),
        methods=usual + sorted(found.difference(usual)),
    ):
        before = known.get(metric.method, row)
        yield replace(
            metric,
            policy=before.policy,
            round=before.round,
            generator=before.generator,
            prompt_name=before.prompt_name,
        )


def _asked(questions: Sequence[Question], given: set[str], regime: str) -> Sequence[Question]:
    """Those that an evaluation had to ask: all, or in the regime `cpt` those that it drew."""
    return [q for q in questions if q.question_id in given] if regime == "cpt" else questions


def judged(
    answers: Iterable[Answer], questions: Mapping[str, Question], grader: Grader
) -> list[Verdict]:
    """A verdict on every answer that there is, in order; `questions` are by id."""
    given = {answer.answer_id: answer for answer in answers if answer.status == "ok"}
    once: dict[tuple[str, str], Answer] = {}  # imports repeat the unadapted answers
    for answer in given.values():
        once.setdefault((answer.question_id, answer.text), answer)
    known = [a for a in once.values() if a.question_id in questions]
    verdicts = judge(grader, [(questions[a.question_id], a) for a in known])
    by_text = {(a.question_id, a.text): v for a, v in zip(known, verdicts, strict=True)}
    unknown = Verdict("", "", grader.name, None, None, "its question is not stored")
    return [
        replace(
            by_text.get((answer.question_id, answer.text), unknown),
            answer_id=answer.answer_id,
            context_id=answer.context_id,
        )
        for answer in given.values()
    ]


def _outcomes(
    answers: Sequence[Answer],
    adapters: Sequence[Adapter],
    verdicts: Mapping[str, Verdict],
    reward: Reward,
) -> list[Outcome]:
    """One outcome per repeat, those that have no answers included."""
    repeats: defaultdict[tuple[str | None, int], list[Answer]] = defaultdict(list)
    for answer in answers:
        repeats[answer.adapter_id, answer.repeat].append(answer)
    outcomes = [_outcome(given, verdicts, reward) for given in repeats.values()]
    examined = {adapter_id for adapter_id, _ in repeats}
    missing = [a.reason or a.status for a in adapters if a.adapter_id not in examined]
    if not adapters and (reward.status == "failed" or len(outcomes) != reward.n_repeats):
        missing = [reward.reason or f"answers of {len(outcomes)} of {reward.n_repeats} repeats"]
    return [*outcomes, *(Outcome(None, "failed", reason) for reason in missing)]


def _outcome(answers: Sequence[Answer], verdicts: Mapping[str, Verdict], reward: Reward) -> Outcome:
    """One examination: failed unless every question of it was answered and could be judged."""
    failed = next((answer for answer in answers if answer.status != "ok"), None)
    if failed is not None:
        return Outcome(None, "failed", failed.reason)
    n_asked = len({answer.question_id for answer in answers})
    if reward.n_questions is not None and n_asked != reward.n_questions:
        reason = f"answers to {n_asked} of {reward.n_questions} questions"
        return Outcome(None, "failed", reason)
    return outcome_of([verdicts[answer.answer_id] for answer in answers])


def _regraded(
    reward: Reward, baseline: Outcome, outcomes: Sequence[Outcome], grader: Grader
) -> Reward:
    """A reward under the new grader; what was wrong with the self-edit stays wrong."""
    if reward.status == "invalid":
        numbers: dict[str, Any] = {"baseline_accuracy": baseline.accuracy}
    else:
        numbers = earned(baseline, outcomes, floor=0.0, rule=reward.rule)
    return replace(reward, grader=grader.name, basis="answers", **_HERE, **numbers)
