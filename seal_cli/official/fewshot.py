"""`few-shot/**`: ARC tasks as contexts, the self-edits written for them, and which solved them.

A task's text is its demonstrations as JSON, a question is a test input, an answer the output grid.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from seal_cli.official import labels, schemas
from seal_cli.official.release import File, Release, pointer
from stages.identity import canonical, digest
from stages.records import Context, Metric, Policy, Question, Record, Reward, SelfEdit

DOMAIN = "arc"
POLICY = f"{labels.PREFIX}llama-3.2-1b"
GRADER = "arc-grid"

Tasks = Mapping[str, schemas.Task]
Solutions = Mapping[str, Sequence[schemas.Grid]]


def solutions_file(release: Release, file: File) -> File | None:
    """The solutions that lie beside a file of tasks, by name."""
    wanted = file.name.replace("challenges", "solutions")
    found = (f for f in release.of("arc-solutions") if f.name == wanted != file.name)
    return next(found, None)


def tasks_file(release: Release, names: Sequence[str]) -> File | None:
    """The smallest file of tasks that has all of these."""
    found = sorted(release.of("arc-tasks"), key=lambda file: file.path.stat().st_size)
    return next((f for f in found if set(names) <= set(release.read(f))), None)


def tasks(
    file: File, data: Tasks, solved: File | None, solutions: Solutions
) -> Iterator[Context | Question]:
    """One context per task, one question per test input; without solutions it has no answers."""
    for ordinal, (name, task) in enumerate(data.items()):
        about = context(file, name, task, ordinal)
        yield about
        outputs = solutions.get(name, [])
        if solved is not None and len(outputs) != len(task.test):
            raise solved.broken(
                f"{len(outputs)} solutions for {len(task.test)} tests", pointer(name)
            )
        for i, test in enumerate(task.test):
            text = canonical(test.input)
            yield Question(
                question_id=digest(about.context_id, i, text),
                context_id=about.context_id,
                ordinal=i,
                question=text,
                answers=(canonical(outputs[i]),) if outputs else (),
                **file.at(pointer(name, "test", i)),
            )


def context(file: File, name: str, task: schemas.Task, ordinal: int) -> Context:
    """A task's demonstrations."""
    text = canonical([pair.model_dump() for pair in task.train])
    return Context(
        context_id=digest(DOMAIN, name, text),
        ordinal=ordinal,
        domain=DOMAIN,
        split=labels.split_of(file.name),
        title=name,
        text=text,
        **file.at(pointer(name)),
    )


def self_edits(
    file: File,
    data: Mapping[str, Mapping[str, schemas.FewShotEdit]],
    source: File,
    known: Tasks,
) -> Iterator[Record]:
    """`final_configs_and_indices.json`: contexts and the tool calls written for them."""
    yield _policy(file)
    for ordinal, (name, edits) in enumerate(data.items()):
        about = context(source, name, known[name], ordinal)
        yield about
        for index, edit in edits.items():
            yield SelfEdit(
                self_edit_id=_edit_id(about, index),
                context_id=about.context_id,
                sample=int(index),
                policy=POLICY,
                round=0,
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
    yield _policy(file)
    names = list(dict.fromkeys(task_of(n) for t in data.values() for n in t.task_id.values()))
    about = {name: context(source, name, known[name], i) for i, name in enumerate(names)}
    yield from about.values()
    solved: list[bool] = []
    for index, trials in data.items():
        by_task: dict[str, list[bool]] = {}
        for row, sub_task in trials.task_id.items():
            by_task.setdefault(task_of(sub_task), []).append(trials.correct[row])
            solved.append(trials.correct[row])
        for name, marks in by_task.items():
            yield _reward(file, about[name], index, marks)
    yield _success(file, solved, len(names))


def _reward(file: File, about: Context, index: str, marks: Sequence[bool]) -> Reward:
    share = sum(marks) / len(marks)
    return Reward(
        self_edit_id=_edit_id(about, index),
        context_id=about.context_id,
        sample=int(index),
        policy=POLICY,
        round=0,
        student=POLICY,
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
        **file.at(pointer(index, "correct")),
    )


def _success(file: File, solved: Sequence[bool], n_tasks: int) -> Metric:
    return Metric(
        policy=POLICY,
        round=0,
        dataset="arc",
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


def _policy(file: File) -> Policy:
    name = "Llama-3.2-1B-Instruct"
    return replace(Policy(POLICY, name, None, 0, None, "base", None), **file.at(""))


def _edit_id(about: Context, index: str) -> str:
    """The same in the file of self-edits and in the file of results."""
    return digest(about.context_id, "few-shot", index)
