"""`few-shot/**`: ARC tasks as contexts, the self-edits written for them, and which solved them.

What a task, a question and an answer are is the arc domain's to say. The files do not say whose the
self-edits are, and every run counts them from 0: a run is told by its folder below few-shot/, and
what that folder's name does not say is not known.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from seal_cli.importers.official import labels, schemas
from seal_cli.importers.official.release import File, pointer
from stages.domains import arc
from stages.identity import digest
from stages.records import Context, Metric, Policy, Question, Record, Reward, SelfEdit

DOMAIN = arc.NAME
BASE = f"{labels.PREFIX}llama-3.2-1b"
GRADER = arc.GRADER

Tasks = Mapping[str, schemas.Task]
Solutions = Mapping[str, Sequence[schemas.Grid]]


@dataclass(frozen=True)
class Run:
    """The folder that a run's files lie in: what its name says of who wrote the self-edits."""

    folder: str

    @property
    def known(self) -> int | None:
        """The rounds of RL that made the policy; null where the name does not say it.

        `eval_RL_iteration_1` asks the model that round 1 made, `training_set_iteration_1` is
        written in round 1 by the one that it begins with.
        """
        if made := _MADE.search(self.folder):
            return int(made[1])
        written = re.search(r"iteration_([1-9]\d{0,2})(?!\d)", self.folder)
        return int(written[1]) - 1 if written else None

    @property
    def round(self) -> int:
        """As known, else 0: the policy's name says then that it is not known."""
        return self.known or 0

    @property
    def policy(self) -> str:
        """Its id: of a round and how it was trained (`_8_epoch`), or of this run alone."""
        if self.known is None:
            return "-".join(filter(None, (BASE, self.folder.replace("/", "-"))))
        made = _MADE.search(self.folder)
        how = made[2].strip("_-") if made else ""
        return "-".join(filter(None, (_made_in(self.known), how)))

    def rows(self, file: File) -> Iterator[Policy]:
        """Its row in `policies` and its parents'."""
        model = "Llama-3.2-1B-Instruct"
        if self.known is None:
            model += ", not known to have been trained"
        for number in range(self.round + 1):
            yield Policy(
                policy=self.policy if number == self.round else _made_in(number),
                name=f"SEAL few-shot round {number}" if number else model,
                parent=_made_in(number - 1) if number else None,
                round=number,
                path=None,
                method="rest-em" if number else "base",
                selection=None,
                **file.at(""),
            )


_MADE = re.compile(r"RL_iteration_(\d{1,3})(?!\d)([^/]*)")


def _made_in(number: int) -> str:
    """The id of the policy that a round of RL made."""
    return f"{BASE}-iter{number}" if number else BASE


def run_of(file: File) -> Run:
    """The run that a file of self-edits or results belongs to."""
    parts = file.path.resolve().parent.parts
    if "few-shot" in parts:  # wherever below it the import began
        below = parts[len(parts) - parts[::-1].index("few-shot") :]
        return Run("/".join(below))
    return Run(file.name.rpartition("/")[0])


def solutions_name(file: File) -> str:
    """What the solutions of a file of tasks are called; they lie beside it."""
    return file.name.replace("challenges", "solutions")


def tasks_file(
    names: Sequence[str], found: Iterable[tuple[File, Tasks]]
) -> tuple[File, Tasks] | None:
    """The smallest of these files of tasks that has all of these."""
    having = [pair for pair in found if set(names) <= set(pair[1])]
    return min(having, key=lambda pair: pair[0].path.stat().st_size, default=None)


def tasks(
    file: File, data: Tasks, solved: tuple[File, Solutions] | None
) -> Iterator[Context | Question]:
    """One context per task, one question per test input; without solutions it has no answers."""
    for ordinal, (name, task) in enumerate(data.items()):
        about = context(file, name, task, ordinal)
        yield about
        outputs = solved[1].get(name, []) if solved else []
        if solved is not None and len(outputs) != len(task.test):
            raise solved[0].broken(
                f"{len(outputs)} solutions for {len(task.test)} tests", pointer(name)
            )
        for i, test in enumerate(task.test):
            asked = arc.question_of(about, i, test.input, outputs[i : i + 1])
            yield replace(asked, **file.at(pointer(name, "test", i)))


def context(file: File, name: str, task: schemas.Task, ordinal: int) -> Context:
    """A task's demonstrations."""
    pairs = [pair.model_dump() for pair in task.train]
    about = arc.context_of(name, pairs, ordinal, labels.split_of(file.name))
    return replace(about, **file.at(pointer(name)))


def self_edits(
    file: File,
    data: Mapping[str, Mapping[str, schemas.FewShotEdit]],
    source: File,
    known: Tasks,
) -> Iterator[Record]:
    """`final_configs_and_indices.json`: contexts and the tool calls written for them."""
    run = run_of(file)
    yield from run.rows(file)
    for ordinal, (name, edits) in enumerate(data.items()):
        about = context(source, name, known[name], ordinal)
        yield about
        for index, edit in edits.items():
            yield SelfEdit(
                self_edit_id=_edit_id(run, about, index),
                context_id=about.context_id,
                sample=int(index),
                policy=run.policy,
                round=run.round,
                prompt_name="arc",
                prompt=edit.prompt,
                completion=edit.response,
                status="ok" if edit.config else "invalid",
                reason=None if edit.config else "no configuration could be read from it",
                n_tokens=None,
                seed=None,
                finish=None,
                **file.at(pointer(name, index)),
            )


def task_of(sub_task: str) -> str:
    """`44f52bb0-0`, one test of a task -> `44f52bb0`."""
    return sub_task.split("-")[0]


def results(
    file: File, data: Mapping[str, schemas.FewShotTrials], source: File, known: Tasks
) -> Iterator[Record]:
    """`final_results.json`: which self-edit solved which task; and the success rate."""
    run = run_of(file)
    yield from run.rows(file)
    names = list(dict.fromkeys(task_of(n) for t in data.values() for n in t.task_id.values()))
    about = {name: context(source, name, known[name], i) for i, name in enumerate(names)}
    yield from about.values()
    dataset = f"arc_{labels.split_of(source.name)}-{len(names)}"  # as the others are called
    solved: list[bool] = []
    for index, trials in data.items():
        by_task: dict[str, list[bool]] = {}
        for row, sub_task in trials.task_id.items():
            by_task.setdefault(task_of(sub_task), []).append(trials.correct[row])
            solved.append(trials.correct[row])
        for name, marks in by_task.items():
            yield _reward(file, run, about[name], index, marks, dataset)
    yield _success(file, run, dataset, solved, len(names))


def _reward(
    file: File, run: Run, about: Context, index: str, marks: Sequence[bool], dataset: str
) -> Reward:
    share = sum(marks) / len(marks)
    return Reward(
        self_edit_id=_edit_id(run, about, index),
        context_id=about.context_id,
        sample=int(index),
        policy=run.policy,
        round=run.round,
        student=run.policy,
        grader=GRADER,
        baseline_accuracy=None,
        adapted_accuracy=share,
        adapted_std=None,
        gain=None,
        reward=share,
        n_repeats=1,
        n_questions=len(marks),
        status="ok",
        reason=None,
        basis="recorded",
        dataset=dataset,
        **file.at(pointer(index, "correct")),
    )


def _success(file: File, run: Run, dataset: str, solved: Sequence[bool], n_tasks: int) -> Metric:
    return Metric(
        policy=run.policy,
        round=run.round,
        dataset=dataset,
        regime="fewshot",
        method="self-edits",
        step=None,
        position=None,
        metric="success",
        value=sum(solved) / len(solved) if solved else None,
        ci_low=None,
        ci_high=None,
        n=n_tasks,
        n_questions=len(solved),
        n_failed=None,
        basis="recorded",
        grader=GRADER,
        **file.at(""),
    )


def _edit_id(run: Run, about: Context, index: str) -> str:
    """The same in a run's file of self-edits and in its file of results beside it."""
    return digest(about.context_id, "few-shot", run.folder, index)
