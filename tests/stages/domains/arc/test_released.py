"""The paper's 22 tasks under `paper-arc`: training sets as the released code's, and lengths."""

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import arc_oracle as oracle
import pytest
from arc_made import call

from seal_cli.pipeline.models import TINY_GRIDS
from seal_cli.settings import Settings
from stages.adapt import Inner, Student
from stages.config import AdaptConfig, GenerateConfig, ScoreConfig
from stages.domains.arc import Arc, grids
from stages.domains.arc.forms import FORMS
from stages.domains.arc.settings import ArcConfig
from stages.domains.arc.tasks import demonstrations
from stages.domains.arc.tool_call import parse
from stages.domains.arc.training_set import Task, training_set
from stages.models import LanguageModel
from stages.records import Context, Question
from stages.training.reference import ReferenceTrainer

RELEASE = Path(__file__).parents[5] / "shared/data/official/few-shot/data"
NAMES = ("basic", "size", "chain", "repeat")
COMBINATIONS = list(itertools.product((False, True), repeat=4))
PAPERS_EIGHT = (
    "59341089", "66e6c45b", "68b67ca3", "903d1b4a", "b1fc8b8e", "bc4146bd", "c7d4e6ad", "ce8d95cc",
)  # fmt: skip
# Examples over all 22 tasks that the released augmenters made (research: run on the same tasks).
OFFICIAL = {"": 433, "basic": 6636, "size": 2032, "chain": 3350, "repeat": 2032, "all": 12281}

Tasks = dict[str, tuple[Context, list[Question]]]


def paper(cls: Any) -> Any:
    return Settings(None, environ={}, preset="paper-arc").resolve(cls)


@pytest.fixture(scope="module")
def held_out() -> Tasks:
    return load("evaluation", "eval")


@pytest.fixture(scope="module")
def both(held_out: Tasks) -> Tasks:
    return load("training", "training") | held_out


def load(half: str, name: str) -> Tasks:
    if not RELEASE.is_dir():
        pytest.skip(f"the released ARC tasks are not at {RELEASE}")
    path = f"arc-agi_{half}_%s_filtered_1B_{name}_set.json"
    challenges = json.loads((RELEASE / (path % "challenges")).read_text())
    solutions = json.loads((RELEASE / (path % "solutions")).read_text())
    found = {}
    for title, task in challenges.items():
        for test, output in zip(task["test"], solutions[title], strict=True):
            test["output"] = output
        found[title] = Arc().read(task | {"title": title}, ordinal=len(found), split=half)
    return found


def made(context: Context, used: dict[str, bool], settings: ArcConfig) -> list[Task]:
    tools = parse(call(**used)).data_generation
    pairs = demonstrations(context.text)
    return list(training_set(pairs, tools, seed=context.context_id, settings=settings))


def plain(pairs: Any) -> list[oracle.Pair]:
    return [(pair.input, pair.output) for pair in pairs]


def named(used: tuple[bool, ...]) -> str:
    return "".join(str(int(tool)) for tool in used)


@pytest.mark.parametrize("used", COMBINATIONS, ids=named)
def test_each_transform_gives_the_tasks_of_the_released_code(
    both: Tasks, used: tuple[bool, ...]
) -> None:
    """All fixed transforms, scale 2 among them: the same tasks, over and above the own ones."""
    chosen = dict(zip(NAMES, used, strict=True))
    wanted = {"": oracle.same} | {
        name: change
        for tool in NAMES
        if chosen[tool]
        for name, change in oracle.FIXED[tool].items()
    }
    counts: Counter[str] = Counter()
    for context, _ in both.values():
        expected = {
            name: oracle.tasks(plain(demonstrations(context.text)), change)
            for name, change in wanted.items()
        }
        found: dict[str, set[Any]] = {}
        for task in made(context, chosen, paper(ArcConfig)):
            if not task.permuted:
                key = tuple(plain((*task.shown, task.query)))
                found.setdefault(task.transform, set()).add(key)
                counts[task.transform] += 1
        shifted = set().union(*(v for name, v in found.items() if name.startswith("translate")))
        every = set().union(*found.values())
        assert every == set().union(*expected.values()) | shifted
        for name, tasks in found.items():
            assert tasks == shifted if name.startswith("translate") else tasks <= expected[name]
    print(dict(sorted(counts.items())))


@pytest.mark.parametrize("used", [*itertools.islice(OFFICIAL, 5), "all"])
def test_there_are_as_many_as_the_released_code_makes(both: Tasks, used: str) -> None:
    """But for tasks that show nothing, and for orders and colours that chance drew twice."""
    chosen = {name: used in (name, "all") for name in NAMES}
    n_ours = sum(len(made(c, chosen, paper(ArcConfig))) for c, _ in both.values())
    names = sum(len(oracle.FIXED[name]) for name in NAMES if chosen[name])
    n_bare = sum(
        oracle.with_nothing_shown(plain(demonstrations(context.text)))
        * (2 * (1 + names + chosen["basic"]) if names else 1)
        for context, _ in both.values()
    )
    print(f"{used or 'none'}: {OFFICIAL[used]} there, {n_ours} here, {n_bare} with nothing shown")
    assert n_ours == pytest.approx(OFFICIAL[used] - n_bare, rel=0.04 if not used else 0.002)


def test_none_comes_from_a_test_pair(both: Tasks) -> None:
    """Nor from one transformed or with other colours."""

    def uncoloured(pair: oracle.Pair) -> oracle.Pair:
        order = dict.fromkeys(cell for side in pair for row in side for cell in row if cell)
        ids = {0: 0} | {colour: i for i, colour in enumerate(order, 1)}
        before, output = (tuple(tuple(ids[c] for c in row) for row in side) for side in pair)
        return before, output

    changes = [oracle.same, *(c for tool in oracle.FIXED.values() for c in tool.values())]
    for context, questions in both.values():
        own = {
            uncoloured((change(before), change(output)))
            for before, output in plain(demonstrations(context.text))
            for change in changes
        }
        hidden = {
            uncoloured((change(before), change(output)))
            for question in questions
            for before in [grids.from_json(question.question)]
            for output in [grids.from_json(question.answers[0])]
            if before and output
            for change in changes
        }
        every = made(context, dict.fromkeys(NAMES, True), paper(ArcConfig))
        seen = {uncoloured(p) for task in every for p in plain((*task.shown, task.query))}
        assert not seen & (hidden - own)
        assert own & seen


def test_there_are_the_eight_tasks_of_the_paper(held_out: Tasks, seal: Any) -> None:
    challenges = RELEASE / "arc-agi_evaluation_challenges_filtered_1B_eval_set.json"
    command = ["import", "contexts", challenges, "--domain", "arc", "--split", "eval", "--only"]
    found = seal(*command, ",".join(reversed(PAPERS_EIGHT))).id
    query = f"select title from contexts where artifact_id = '{found}' order by ordinal"
    assert tuple(seal("sql", query, "-f", "csv").out.split()[1:]) == PAPERS_EIGHT
    assert set(PAPERS_EIGHT) < held_out.keys()
    assert paper(GenerateConfig).samples == 15


@pytest.fixture(scope="module", params=["a token per character", "a token per cell"])
def tokenizer(request: pytest.FixtureRequest, chat_model: Path) -> Any:
    from transformers import AutoTokenizer

    found = {"a token per character": chat_model, "a token per cell": TINY_GRIDS}
    return AutoTokenizer.from_pretrained(found[request.param])


def test_each_task_can_be_answered_in_length(held_out: Tasks, tokenizer: Any) -> None:
    """And so can a grid of 30 x 30, in either form, with the end token."""
    full = tuple((7,) * 30 for _ in range(30))
    outputs = {"30 x 30": full} | {
        f"{title} {question.ordinal}": grids.from_json(question.answers[0])
        for title, (_, questions) in held_out.items()
        for question in questions
    }
    assert len(outputs) == 1 + 10 + 1  # one task has two tests
    needed = {
        (form, name): len(tokenizer(FORMS[form].output(output or ()))["input_ids"]) + 1
        for form in FORMS
        for name, output in outputs.items()
    }
    print(needed)
    assert max(needed.values()) <= paper(ScoreConfig).answer_tokens
    longest = max(length for (_, name), length in needed.items() if name != "30 x 30")
    assert longest > 64  # the tool's default, which is for passages


@pytest.mark.parametrize("used", COMBINATIONS, ids=named)
def test_every_row_has_its_whole_answer_and_fits(
    both: Tasks,
    chat_model: Path,
    language_model: LanguageModel,
    edit: Any,
    used: tuple[bool, ...],
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(chat_model)
    config, domain = paper(AdaptConfig), Arc(paper(ArcConfig))
    student = Student("s", tokenizer, ("q_proj",), chat=True)
    completion = call(**dict(zip(NAMES, used, strict=True)), epochs=1)
    edits = [edit(context, completion) for context, _ in both.values()]
    contexts = {context.context_id: context for context, _ in both.values()}
    found = list(
        Inner(student, ReferenceTrainer(language_model), domain, config).jobs(edits, contexts)
    )
    assert len(found) == 22
    end = tokenizer("#")["input_ids"] + [tokenizer.eos_token_id]
    for _, job in found:
        assert 0 < len(job.rows) <= config.max_sequences == 250
        assert (job.schedule, job.warmup_steps, job.rank) == ("cosine", 11, 128)
        for row in job.rows:
            assert row.n_targets > 0
            assert not row.cut
            assert len(row.ids) <= 8192
            assert list(row.ids[-2:]) == end
    assert any(len(job.rows) == 250 for _, job in found) == any(used)


def test_at_2048_tokens_one_task_has_no_target_left_and_is_not_trained(
    held_out: Tasks, language_model: LanguageModel, edit: Any
) -> None:
    context, _ = held_out["903d1b4a"]
    student = Student("s", language_model.tokenizer, ("q_proj",))
    inner = Inner(student, ReferenceTrainer(language_model), Arc(), AdaptConfig(repeats=1))
    edits = [edit(context, call(basic=True))]
    ((row, lora),) = inner.adapt(edits, {context.context_id: context})
    assert (row.status, lora, row.n_sequences) == ("failed", None, 0)
    assert "128 of 128 sequences without a target left out" in row.reason
