"""The whole release, made of copies of what is at hand: every file an experiment of its own."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import whole_release

Row = dict[str, Any]
MORE = Path(__file__).parents[5] / "shared/data/official-more"
B7, B3, MISTRAL = "Qwen2.5-7B", "Qwen2.5-3B", "Mistral-7B-Instruct-v0.2"
EVAL, LINE = "results/query_server/alternate_prompts/eval", "implications"


@pytest.fixture(scope="module")
def folder(official: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not MORE.is_dir():
        pytest.skip(f"more of the released SEAL data is not at {MORE}")
    root = tmp_path_factory.mktemp("whole") / "release"
    whole_release.make(root, official.parent, MORE)
    return root


@pytest.fixture(scope="module")
def store(folder: Path) -> Path:
    """Everything imported once, and a few evaluations under another grader."""
    from typer.testing import CliRunner

    from seal_cli.app import app

    root = folder.with_name("store")
    call = ["--store", str(root), "import", "official", str(folder)]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 0, result.stderr
    left_out = [line for line in result.stderr.splitlines() if " left out: " in line]
    assert len(left_out) == 1
    assert "sample_submission.json left out: a form for answers to ARC tasks; it" in left_out[0]
    assert "74 files imported, 1 left out." in result.stderr
    ids = result.stdout.split()
    assert (len(ids), len(set(ids))) == (74, 67)  # seven stand in both layouts
    return root


# file -> (student, method, generator, prompt, round, dataset), read from names and content
EXPERIMENTS = {
    "results/query_server/eval/base.json": (B7, "self-edits", B7, LINE, 0, "squad_val-200"),
    "results/query_server/eval/naive.json": (B7, "passage-only", None, None, 0, "squad_val-200"),
    "results/query_server/eval/gpt4_1.json": (
        B7, "self-edits", "GPT-4.1", LINE, 0, "squad_val-200"),
    "results/query_server/eval/iter2.json": (
        f"{B7} SEAL round 2", "self-edits", f"{B7} SEAL round 2", LINE, 2, "squad_val-200"),
    "results/query_server/3B/eval/base.json": (B3, "self-edits", B3, LINE, 0, "squad_val-200"),
    "results/query_server/3B/eval/iter1.json": (
        f"{B3} SEAL round 1", "self-edits", f"{B3} SEAL round 1", LINE, 1, "squad_val-200"),
    f"{EVAL}/base_prompt-long.json": (
        B7, "self-edits", B7, "implications-long", 0, "squad_val-200"),
    f"{EVAL}/iter1_prompt-rewrite.json": (
        f"{B7} SEAL round 1 (rewrite)", "self-edits", f"{B7} SEAL round 1 (rewrite)", "rewrite", 1,
        "squad_val-200"),
    f"{EVAL}/openai_prompt-none.json": (B7, "self-edits", "GPT-4.1", "none", 0, "squad_val-200"),
    f"{EVAL}/cot-eval.json": (
        B7, "self-edits", B7, LINE, 0, "squad_val-200 (answers after reasoning)"),
    "results/query_server/alternate_prompts/train/rank_iter0_prompt-none.json": (
        B7, "self-edits", B7, "none", 0, "squad_val-200 (ranking run)"),
    "results/query_server/eval/generative-adapter.json": (
        MISTRAL, "generative-adapter", "generative adapter", None, 0, "squad_val-200"),
    "results/cpt/generative-adapter.json": (
        MISTRAL, "generative-adapter", "generative adapter", None, 0, "squad_val-200"),
    "results/cpt/200/iter2_200.json": (
        B7, "self-edits", f"{B7} SEAL round 2", LINE, 2, "squad_val-200"),
    "results/cpt/200/enti-pair_200.json": (
        B7, "entigraph-pairs", "EntiGraph pairs", None, 0, "squad_val-200"),
    "results/cpt/200/enti-all_200.json": (
        B7, "entigraph-pairs+triples", "EntiGraph pairs+triples", None, 0, "squad_val-200"),
    "results/cpt/2067/gpt4_1_2067.json": (
        B7, "self-edits", "GPT-4.1", LINE, 0, "squad_val-2067"),
    "results/cpt/2067/enti-pair_2067.json": (
        B7, "entigraph-pairs", "EntiGraph pairs", None, 0, "squad_val-2067"),
    "results/cpt/old/cpt_iter2.json": (
        B7, "self-edits", f"{B7} SEAL round 2", LINE, 2, "squad_val-200"),
}  # fmt: skip


@pytest.mark.parametrize("file", EXPERIMENTS)
def test_a_file_knows_its_experiment(ask: Any, file: str) -> None:
    (row,) = ask(
        "select distinct coalesce(s.name, student) as student, method, generator, prompt_name, "
        f"x.round, dataset from experiments x join artifacts a using (artifact_id) "
        "left join model_names s on s.policy = x.student "
        f"where method <> 'unadapted' and a.source like '%/{file}' "
    )
    assert tuple(row.values()) == EXPERIMENTS[file]
    metrics = ask(
        "select distinct method, generator, prompt_name from metrics where method <> 'unadapted' "
        f"and source_file like '%/{file}'"
    )
    assert [tuple(row.values()) for row in metrics] == [EXPERIMENTS[file][1:4]]


# What the paper's tables have of it, from the files at hand.
FIGURES = {
    "query_server/eval/base.json": ("unadapted", 0.326683),
    "query_server/eval/naive.json": ("passage-only", 0.335147),
    "query_server/eval/gpt4_1.json": ("self-edits", 0.463130),
    "cpt/200/naive_200.json": ("passage-only", 0.36),
    "cpt/200/base_200.json": ("self-edits", 0.506),
    "cpt/200/gpt4_1_200.json": ("self-edits", 0.594),
    "cpt/200/enti-pair_200.json": ("entigraph-pairs", 0.462),
    "cpt/2067/naive_2067.json": ("passage-only", 0.312),
    "cpt/2067/base_2067.json": ("self-edits", 0.434),
    "cpt/2067/enti-pair_2067.json": ("entigraph-pairs", 0.386),
    "alternate_prompts/eval/base_prompt-long.json": ("self-edits", 0.492901),
    "alternate_prompts/eval/cot-eval.json": ("self-edits", 0.025),
    "cpt/generative-adapter.json": ("generative-adapter", 0.28),
}  # fmt: skip


@pytest.mark.parametrize("file", FIGURES)
def test_the_figures_are_as_published(ask: Any, file: str) -> None:
    method, value = FIGURES[file]
    (row,) = ask(
        f"select value from metrics where metric = 'accuracy' and method = '{method}' "
        f"and source_file like '%/{file}'"
    )
    assert row["value"] == pytest.approx(value, abs=5e-5 if "cot" in file else 2e-6)


@pytest.mark.parametrize("file", [f for f in FIGURES if "cpt/" in f])
def test_many_passages_are_joined_to_their_questions(ask: Any, file: str) -> None:
    """Nothing in those files says so: with another shuffle the graders hardly agree."""
    from stages.grading import GRADERS

    rows = ask(
        "select question, q.answers, a.text, correct from answers a "
        "join verdicts using (artifact_id, answer_id) "
        "join questions q using (artifact_id, question_id) "
        f"where a.source_file like '%/{file}' and method <> 'unadapted'"
    )
    grade = GRADERS["offline-2"].grade
    same = [grade(r["question"], r["answers"], r["text"]).correct is r["correct"] for r in rows]
    assert len(rows) == 500
    assert sum(same) / 500 >= (0.9 if "adapter" in file else 0.84)


def test_answers_to_other_questions_are_left_out(seal: Any, folder: Path, tmp_path: Path) -> None:
    """The base model's run, as if its questions had been drawn with a third seed."""
    release = tmp_path / "moved/general-knowledge"
    (release / "data").mkdir(parents=True)
    shutil.copyfile(
        folder / "general-knowledge/data/squad_val.json", release / "data/squad_val.json"
    )
    data = json.loads((folder / "general-knowledge/results/cpt/200/base_200.json").read_text())
    for column in data["per_question"].values():
        column.append(column.pop(0))  # each answer one question too early
    (release / "base_200.json").write_text(json.dumps(data))
    result = seal("import", "official", release)
    assert result.code == 0
    assert (
        "base_200.json left out: its answers are to other questions than those that its passages "
        "give." in result.err
    )


LABELS = {
    "paper-table2": ["regime", "training", "dataset", "questions", "model", "method", "generator",
                     "prompt", "round", "grader"],
    "rounds": ["method", "round", "model", "student", "prompt", "grader", "dataset"],
    "prompt-ablation": ["prompt", "round", "writer", "student", "base", "grader", "dataset"],
    "prompts": ["prompt", "round", "writer", "student", "grader", "dataset"],
    "transfer": ["writer", "round", "student", "prompt", "grader", "dataset"],
    "reward-noise": ["prompt", "round", "writer", "student", "grader", "dataset"],
    "reward-agreement": ["rule", "grader", "prompt", "round", "writer", "student", "dataset"],
    "grader-agreement": ["regime", "dataset", "model", "method", "generator", "prompt", "round",
                         "grader", "against", "file"],
    "continual": ["model", "round", "prompt", "method", "dataset", "grader", "step"],
}  # fmt: skip


@pytest.mark.parametrize("name", LABELS)
def test_no_two_lines_of_a_report_are_alike(report: Any, store: Path, name: str) -> None:
    """By what tells an experiment; two files of one experiment would be one line."""
    rows = report(name, store=store)
    lines = Counter(tuple(row[column] for column in LABELS[name]) for row in rows)
    assert [line for line, n in lines.items() if n > 1] == []
    assert lines or name == "grader-agreement"  # perhaps nothing is judged again yet
    assert {row["runs"] for row in rows if "runs" in row} <= {"1"}


def test_table_2_compares_each_size_with_its_own(report: Any, store: Path) -> None:
    rows = [row for row in report("paper-table2", store=store) if row["grader"] == "gpt-4.1"]
    seal_of = {
        (row["regime"], row["training"], row["dataset"], row["model"].split()[0]): row["seal"]
        for row in rows
    }
    assert seal_of["single", "LoRA", "squad_val-200", B7] == f"{B7} SEAL round 2"
    assert seal_of["single", "LoRA", "squad_val-200", B3] == f"{B3} SEAL round 2"
    assert seal_of["cpt", "all weights", "squad_val-200", B7] == f"{B7} SEAL round 2"
    assert seal_of["single", "", "squad_val-200", MISTRAL] == ""
    single = [r for r in rows if (r["regime"], r["dataset"]) == ("single", "squad_val-200")]
    value = {(r["model"], r["method"], r["generator"]): float(r["accuracy"]) for r in single}
    for row in single:
        if row["seal_minus_this"]:
            own = f"{row['model'].split()[0]} SEAL round 2"
            difference = value[own, "self-edits", own] - float(row["accuracy"])
            assert float(row["seal_minus_this"]) == pytest.approx(difference, abs=1.1e-4)
    compared = {row["model"] for row in single if row["seal_minus_this"]}
    assert {B7, B3, f"{B3} SEAL round 1"} <= compared
    assert {row["prompt"] for row in rows} == {"", LINE}


def test_every_prompt_has_its_rounds_and_gains(report: Any, store: Path) -> None:
    rows = [
        row for row in report("rounds", store=store) if row["grader"] == "gpt-4.1"
        and row["method"] == "self-edits" and row["dataset"] == "squad_val-200"
    ]  # fmt: skip
    found = {(row["model"], row["prompt"], row["round"]): row for row in rows}
    prompts = ["implications", "implications-long", "rewrite", "none"]
    wanted = {(B7, prompt, str(n)) for prompt in prompts for n in range(3)}
    assert set(found) == wanted | {(B3, LINE, str(n)) for n in range(3)}
    for (model, prompt, number), row in found.items():
        before = float(found[model, prompt, "0"]["accuracy"])
        gain = "" if number == "0" else pytest.approx(float(row["accuracy"]) - before, abs=1.1e-4)
        assert (float(row["gain_since_0"]) if row["gain_since_0"] else "") == gain
    rows = report("prompt-ablation", store=store)
    assert all(row["gain"] for row in rows)
    assert {row["writer"] for row in rows} >= {B7, B3, "GPT-4.1", f"{B7} SEAL round 1 (rewrite)"}
    assert not {row["writer"] for row in rows} & {"long_eval", "eval_base", "eval_gpt"}


def test_the_unadapted_model_is_the_one_beside_its_own_self_edits(report: Any, store: Path) -> None:
    """It was measured again in every file: the paper's number is the one of base.json."""
    for name in ("paper-table2", "rounds"):
        rows = [
            row["accuracy"]
            for row in report(name, store=store)
            if (row["method"], row["model"], row["grader"]) == ("unadapted", B7, "gpt-4.1")
            and (row.get("regime", "single"), row["dataset"]) == ("single", "squad_val-200")
        ]
        assert rows == ["0.3267"], name


def test_experiment_names_are_no_models(ask: Any) -> None:
    names = [row["name"] for row in ask("select name from model_names")]
    assert len(set(names)) == len(names)
    assert not [name for name in names if "eval" in name or "train" in name]
    students = {row["student"] for row in ask("select distinct student from rewards")}
    assert students == {
        *("official-base", "official-iter1", "official-iter2"),
        *("official-3b-base", "official-3b-iter1", "official-3b-iter2"),
        *(f"official-iter1-{p}" for p in ("implications-long", "rewrite", "none")),
        *(f"official-iter2-{p}" for p in ("implications-long", "rewrite", "none")),
    }


def test_examples_have_every_self_edit_once(report: Any, store: Path) -> None:
    """Of a passage of the rounds of RL: rewarded by answers and by the proxy, by two sizes."""
    rows = report("examples", "--context", "Estonian language", store=store)
    assert len({row["completion"] for row in rows}) == len(rows)
    assert {row["grader"] for row in rows} == {"gpt-4.1"}
    ours = [row for row in rows if (row["writer"], row["prompt"]) == (B7, LINE)]
    assert [row["sample"] for row in ours] == ["4", "2", "0", "1", "3"]
    assert {row["scored"] for row in ours} == {"2"}  # the proxy as well
    assert [row["kept"] for row in ours].count("True") == 1


def test_a_mean_proxy_of_0_is_no_proxy(ask: Any) -> None:
    """cot-eval.json says that it was trained and asked (`ttt`), and has proxy scores of 0."""
    rows = ask(
        "select method, metric, round(value, 4) as value from metrics "
        "where source_file like '%cot-eval.json' order by all"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("self-edits", "accuracy", 0.025), ("self-edits", "gain", -0.3527),
        ("unadapted", "accuracy", 0.3778),
    ]  # fmt: skip
    assert ask("select count(*) as n from rewards where source_file like '%cot-eval.json'") == [
        {"n": 0}
    ]


REGRADED = (
    "results/cpt/old/cpt_gpt4_1.json", "results/cpt/200/iter2_200.json", f"{EVAL}/cot-eval.json",
    "results/cpt/generative-adapter.json", "results/query_server/eval/generative-adapter.json",
    "results/query_server/3B/eval/iter1.json",
)  # fmt: skip


@pytest.mark.parametrize("file", REGRADED)
def test_every_evaluation_can_be_judged_again(
    seal: Any, ask: Any, report: Any, store: Path, file: str
) -> None:
    query = "select artifact_id, kind from artifacts where source like '%general-knowledge/"
    (found,) = ask(f"{query}{file}'")
    source = found["artifact_id"]
    again = seal("regrade", source, "--grader", "contained", store=store).id
    columns = "method, metric, policy, round, dataset, generator, prompt_name, n"
    where = "where metric = 'accuracy' and artifact_id = '{}' order by all"
    if found["kind"] == "metrics":
        before = ask(f"select {columns} from metrics {where.format(source)}")
        assert ask(f"select {columns} from metrics {where.format(again)}") == before
    rows = [r for r in report("grader-agreement", store=store) if r["artifact_id"] == source]
    assert {row["method"] for row in rows} >= {EXPERIMENTS.get(file, (0, "self-edits"))[1]}
    assert {(row["grader"], row["against"]) for row in rows} == {("contained", "gpt-4.1")}


def test_strict_says_that_a_file_was_left_out(seal: Any, folder: Path) -> None:
    few = folder / "few-shot"
    result = seal("import", "official", few, "--strict")
    assert (result.code, len(result.out.split())) == (4, 4)
    assert "1 files were left out" in result.err
    assert seal("import", "official", few).code == 0
