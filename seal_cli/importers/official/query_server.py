"""`results/query_server/**`: what self-edits earned, with every judged answer where it is given.

An RL round has several self-edits per passage and three repeats; an evaluation has one of each; the
passage-only baseline has an empty text for a self-edit. A reward is the recorded `adapter_mean`
(rounding decides ties, and so selections); where the answers are there, it is checked against them.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from seal_cli.importers.official import experiment, labels, schemas
from seal_cli.importers.official.passages import context, self_edit
from seal_cli.importers.official.release import File, pointer
from seal_cli.importers.official.run import Run
from stages.identity import canonical, digest
from stages.interval import interval
from stages.records import (
    Adapter,
    Answer,
    Basis,
    Context,
    Metric,
    Question,
    Record,
    Reward,
    SelfEdit,
    Verdict,
)
from stages.rewards import PROXY

ROUNDED = 1e-4  # the release rounds accuracies to four places


def rows(run: Run) -> Iterator[Record]:
    """Everything in one file, article by article, then the metrics."""
    yield from (replace(row, **run.file.at("")) for row in run.experiment.models)
    unadapted: list[float] = []
    adapted: list[float] = []
    n_questions = 0
    places: dict[str, str] = {}
    for i, article in enumerate(run.data.articles):
        scored = _Article(run, i, article)
        for row in scored.rows():
            n_questions += isinstance(row, Question)
            if isinstance(row, Context):
                before = places.setdefault(row.context_id, scored.place)
                if before != scored.place:
                    raise run.file.broken(f"the passage of {before} again", scored.place)
            yield row
        if scored.unadapted is not None and scored.adapted is not None:
            unadapted.append(scored.unadapted)
            adapted.append(scored.adapted)
    # Several self-edits per passage are a round of RL; its numbers are its rewards.
    if not run.proxied and all(len(a.completions) == 1 for a in run.data.articles):
        yield from _metrics(run, unadapted, adapted, n_questions)


class _Article:
    """One passage of a run: its rows, and its two accuracies where they can be computed."""

    def __init__(self, run: Run, index: int, article: schemas.Article) -> None:
        self.run, self.index, self.article = run, index, article
        self.place = pointer("articles", index)
        self.unadapted: float | None = None
        self.adapted: float | None = None

    def rows(self) -> Iterator[Record]:
        """The context, its questions, and what came of each self-edit."""
        passage = schemas.Passage(
            title=self.article.title,
            context=self.article.context,
            questions=[
                schemas.Asked(question=q.question, answer=q.answer) for q in self._first_repeat()
            ],
        )
        about, found = context(self.run.file, passage, self.index, self.run.split, self.place)
        questions = [
            replace(q, source_position=f"{self.place}/completions/0/questions/{q.ordinal}")
            for q in found
        ]
        yield about
        yield from questions
        means: list[float] = []
        for sample, completion in enumerate(self.article.completions):
            outcome = _Completion(self, about, questions, sample, completion)
            yield from outcome.rows()
            means += outcome.accuracies
        if means:
            judged = [q.baseline_correct for c in self.article.completions for q in c.questions]
            self.unadapted = statistics.fmean(judged)
            self.adapted = statistics.fmean(means)

    def _first_repeat(self) -> Sequence[schemas.Judged]:
        """The passage's questions in order: what the first repeat of any self-edit was asked."""
        asked = next((c.questions for c in self.article.completions if c.questions), [])
        return [q for q in asked if q.rep == asked[0].rep]


class _Completion:
    """One self-edit of one passage: its adapters, answers, verdicts and reward."""

    def __init__(
        self,
        article: _Article,
        about: Context,
        questions: Sequence[Question],
        sample: int,
        completion: schemas.ScoredCompletion,
    ) -> None:
        self.run, self.article = article.run, article.article
        self.about, self.questions = about, questions
        self.sample, self.completion = sample, completion
        self.place = f"{article.place}/completions/{sample}"
        self.accuracies: list[float] = []
        # As many as the file says, or as it has: no two answers may be the same one.
        reps = (q.rep for c in self.article.completions for q in c.questions)
        self.n_repeats = max(self.run.data.eval_times, 1 + max(reps, default=0))

    def rows(self) -> Iterator[Record]:
        """The self-edit, then each repeat, then the reward."""
        edit = None
        if self.run.experiment.prompt is not None:
            edit = self_edit(
                self.run.file,
                self.about,
                self.sample,
                self.article.prompt,
                self.run.experiment.prompt,
                self.completion.text,
                self.run.experiment.writer,
                self.place,
            )
            yield edit
        for repeat, judged in self._repeats().items():
            yield from self._repeat(edit, repeat, judged)
        if edit is not None and self.run.has_rewards:
            yield self._reward(edit)

    def _repeats(self) -> Mapping[int, list[tuple[int, schemas.Judged]]]:
        """Repeat -> its judged questions with their places in the file, in the same order."""
        repeats: dict[int, list[tuple[int, schemas.Judged]]] = {}
        for place, judged in enumerate(self.completion.questions):
            repeats.setdefault(judged.rep, []).append((place, judged))
        for asked in repeats.values():  # the schema says that repeats ask the same
            if [q.question.strip() for _, q in asked] != [q.question for q in self.questions]:
                raise self.run.file.broken("not asked what its siblings were", self.place)
        return repeats

    def _repeat(
        self, edit: SelfEdit | None, repeat: int, judged: Sequence[tuple[int, schemas.Judged]]
    ) -> Iterator[Record]:
        adapter = self._adapter(edit, repeat)
        if self.run.experiment.method != experiment.ADAPTER:  # that one trains nothing
            yield adapter
        for question, (place, q) in zip(self.questions, judged, strict=True):
            at = f"{self.place}/questions/{place}"
            yield from self._answer(question, adapter, q.adapter_answer, q.adapter_correct, at)
            yield from self._answer(
                question, None, q.baseline_answer, q.baseline_correct, at, repeat
            )
        self.accuracies.append(statistics.fmean(q.adapter_correct for _, q in judged))

    def _adapter(self, edit: SelfEdit | None, repeat: int) -> Adapter:
        hyperparameters = canonical(self.run.data.lora_params)
        source = edit.self_edit_id if edit else f"passage {self.about.context_id}"
        student = self.run.experiment.student.policy
        return Adapter(
            adapter_id=digest(student, source, self.sample, repeat, hyperparameters),
            self_edit_id=edit.self_edit_id if edit else None,
            context_id=self.about.context_id,
            method=self.run.experiment.method,
            student=student,
            repeat=repeat,
            status="ok",
            hyperparameters=hyperparameters,
            **experiment.UNKNOWN,
            **self.run.file.at(self.place),
        )

    def _answer(
        self,
        question: Question,
        adapter: Adapter | None,
        text: str,
        correct: bool,
        place: str,
        repeat: int = 0,
    ) -> Iterator[Answer | Verdict]:
        """An answer and its verdict. The unadapted model was asked again for every adapter."""
        which = "adapter" if adapter else "baseline"
        asked = adapter.repeat if adapter else self.sample * self.n_repeats + repeat
        student = self.run.experiment.student.policy
        worn = adapter.adapter_id if adapter else None
        answer = Answer(
            answer_id=digest(student, worn, asked, question.question_id, text),
            context_id=self.about.context_id,
            question_id=question.question_id,
            student=student,
            self_edit_id=adapter.self_edit_id if adapter else None,
            adapter_id=worn,
            method=adapter.method if adapter else experiment.UNADAPTED,
            repeat=asked,
            text=text,
            n_tokens=None,
            **self.run.file.at(f"{place}/{which}_answer"),
        )
        yield answer
        yield verdict(self.run.file, answer, correct, f"{place}/{which}_correct")

    def _reward(self, edit: SelfEdit) -> Reward:
        stats = self.completion.stats
        proxied = self.run.proxied
        return Reward(
            self_edit_id=edit.self_edit_id,
            context_id=edit.context_id,
            sample=self.sample,
            policy=edit.policy,
            round=edit.round,
            student=self.run.experiment.student.policy,
            grader=self.run.grader,
            baseline_accuracy=None if proxied else stats.baseline_mean,
            adapted_accuracy=None if proxied else stats.adapter_mean,
            adapted_std=None if proxied else self._population_std(),
            gain=None if proxied else stats.gain_mean,
            reward=stats.proxy_mean if proxied else stats.adapter_mean,
            n_repeats=len(self.accuracies) or self.run.data.eval_times,
            n_questions=len(self.questions) or None,
            status="ok",
            reason=canonical(self.completion.proxy_scores) if proxied else None,
            basis=self._basis(),
            rule=PROXY.name if proxied else "accuracy",
            dataset=self.run.experiment.dataset,
            **self.run.file.at(self.place),
        )

    def _population_std(self) -> float | None:
        """The release has the sample deviation; our column is the population's."""
        if self.accuracies:
            return statistics.pstdev(self.accuracies)
        n, sample = self.run.data.eval_times, self.completion.stats.adapter_std
        return None if sample is None else sample * ((n - 1) / n) ** 0.5

    def _basis(self) -> Basis:
        """Whether the recorded reward follows from the answers, to the release's rounding."""
        if not self.accuracies:
            return "recorded"
        computed = statistics.fmean(self.accuracies)
        if abs(computed - self.completion.stats.adapter_mean) <= ROUNDED:
            return "answers"
        self.run.file.remark(
            f"the recorded {self.completion.stats.adapter_mean} is not the {computed:.4f} of its "
            "answers; kept as recorded",
            self.place,
        )
        return "recorded"


def verdict(file: File, answer: Answer, correct: bool, place: str) -> Verdict:
    """The judge's word; an empty answer was wrong without asking it."""
    return Verdict(
        answer_id=answer.answer_id,
        context_id=answer.context_id,
        grader=labels.JUDGE,
        correct=correct,
        score=None,
        reason=None if answer.text.strip() else "empty answer",
        **file.at(place),
    )


def _metrics(
    run: Run, unadapted: Sequence[float], adapted: Sequence[float], n_questions: int
) -> Iterator[Metric]:
    """Accuracy (the macro mean) and gain, from the answers or else as `overall` records them."""
    overall, about = run.data.overall, run.experiment
    gains = [after - before for before, after in zip(unadapted, adapted, strict=True)]
    cells = (
        (experiment.UNADAPTED, "accuracy", unadapted, overall.baseline_mean_accuracy),
        (about.method, "accuracy", adapted, overall.adapter_mean_accuracy),
        (about.method, "gain", gains, None),
    )
    for method, metric, values, recorded in cells:
        found = interval(values, share=metric == "accuracy")
        value = found.mean if values else recorded
        if value is None:
            continue
        yield about.metric(
            method,
            metric,
            found,
            regime="single",
            value=value,
            n=len(values) or run.data.n_articles,
            n_questions=n_questions or None,
            n_failed=0 if values else None,
            basis="answers" if values else "recorded",
            grader=run.grader,
            **run.file.at(pointer("articles") if values else pointer("overall")),
        )
