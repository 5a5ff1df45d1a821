"""The regimes of `seal eval` from the shell: complete rows, their reports, clear refusals."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

SMALL = ["--engine", "scripted", "--epochs", 1, "--rank", 2, "--answer-tokens", 4]
CONTINUAL = ["--regime", "continual", "--edits", 2, "--sequences", 2]


@pytest.fixture
def contexts(seal: Any, passages: Path) -> str:
    return str(seal("import", "contexts", passages).id)


@pytest.fixture
def run(seal: Any, random_model: Path, contexts: str) -> Any:
    """`run(*flags)`: the result of `seal eval` on three passages."""
    return lambda *flags: seal("eval", random_model, contexts, *SMALL, *flags)


def rows(seal: Any, query: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in seal("sql", query, "-f", "json").out.splitlines()]


def report(seal: Any, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(seal("report", name, "--format", "csv").out)))


def complete(seal: Any, artifact: str) -> None:
    """Every answer has its verdict, ids are keys, and nothing failed."""
    found = rows(
        seal,
        f"""select count(*) as n, count(distinct answer_id) as ids,
                   count(*) filter (status <> 'ok') as bad
            from answers where artifact_id = '{artifact}'""",
    )[0]
    judged = rows(seal, f"select count(*) as n from verdicts where artifact_id = '{artifact}'")
    assert found == {"n": judged[0]["n"], "ids": judged[0]["n"], "bad": 0}


@pytest.mark.parametrize("flags", [[], ["--full"], ["--samples", 2, "--lines"]])
def test_cpt_stands_in_table_2(seal: Any, run: Any, flags: list[Any]) -> None:
    made = run("--regime", "cpt", *flags)
    complete(seal, made.id)
    lines = report(seal, "paper-table2")
    assert [(line["regime"], line["method"]) for line in lines] == [
        ("cpt", "unadapted"), ("cpt", "passage-only"), ("cpt", "self-edits")
    ]  # fmt: skip
    assert {line["questions"] for line in lines} == {"6"}
    metrics = rows(seal, f"select * from metrics where artifact_id = '{made.id}'")
    assert {(m["method"], m["metric"], m["n"]) for m in metrics} == {
        ("unadapted", "accuracy", 6), ("passage-only", "accuracy", 6), ("passage-only", "gain", 6),
        ("self-edits", "accuracy", 6), ("self-edits", "gain", 6),
    }  # fmt: skip
    adapters = rows(seal, f"select * from adapters where artifact_id = '{made.id}'")
    assert [(row["context_id"], row["method"]) for row in adapters] == [
        (None, "passage-only"), (None, "self-edits")
    ]  # fmt: skip
    assert json.loads(adapters[0]["hyperparameters"])["full"] is (flags == ["--full"])
    assert run("--regime", "cpt", *flags).id == made.id


def test_cpt_asks_as_many_questions_as_are_wanted(seal: Any, run: Any) -> None:
    made = run("--regime", "cpt", "--questions", 4)
    asked = rows(
        seal,
        f"""select method, count(distinct question_id) as n from answers
            where artifact_id = '{made.id}' group by method""",
    )
    assert [row["n"] for row in asked] == [4, 4, 4]


def test_continual_is_a_matrix_in_the_report(seal: Any, run: Any, tmp_path: Path) -> None:
    made = run(*CONTINUAL)
    complete(seal, made.id)
    matrix = report(seal, "continual")
    assert [(line["step"], line["sequences"]) for line in matrix] == [
        ("0", "2"), ("1", "2"), ("2", "2")
    ]  # fmt: skip
    assert [bool(line["2"]) for line in matrix] == [True, False, True]
    assert {line["method"] for line in matrix} == {"self-edits"}
    query = f"""select coalesce(sequence, -1) as at, step, count(distinct context_id) as passages
                from answers where artifact_id = '{made.id}' group by all order by all"""
    asked = [tuple(row.values()) for row in rows(seal, query)]
    assert asked[0][:2] == (-1, 0)  # the unadapted student, once for all sequences
    assert asked[1:] == [(0, 1, 1), (0, 2, 2), (1, 1, 1), (1, 2, 2)]
    page = tmp_path / "page.html"
    assert seal("report", "continual", "--format", "html", "--output", page).code == 0
    assert "passage, by the place of its edit" in page.read_text()


def test_the_countermeasures_are_set_against_the_plain_merges(seal: Any, run: Any) -> None:
    made = [
        run(*CONTINUAL, *more).id for more in ([], ["--replay", 1], ["--gate", 5], ["--separate"])
    ]
    assert len(set(made)) == 4
    lines = report(seal, "forgetting")
    assert [line["method"] for line in lines] == [
        "self-edits", "self-edits + clip at 5", "self-edits + replay 1", "separate adapters"
    ]  # fmt: skip
    assert {line["sequences"] for line in lines} == {"2"}
    assert [line["kept_more"] == "" for line in lines] == [True, False, False, False]
    assert len(report(seal, "continual")) == 4 * 3


def test_more_sequences_are_the_same_ones_and_others(seal: Any, run: Any) -> None:
    def answers(artifact: str) -> set[str]:
        query = f"select answer_id from answers where artifact_id = '{artifact}'"
        return {row["answer_id"] for row in rows(seal, query)}

    assert answers(run(*CONTINUAL).id) < answers(run(*CONTINUAL, "--sequences", 3).id)


@pytest.mark.parametrize("flags", [[], ["--regime", "cpt"], CONTINUAL])
def test_a_probe_is_told_in_every_regime(
    seal: Any, run: Any, tmp_path: Path, flags: list[Any]
) -> None:
    file = tmp_path / "probe.jsonl"
    questions = [{"question": "Who keeps the mill?", "answer": "Ada"}]
    file.write_text(json.dumps({"title": "Mill", "context": "Ada.", "questions": questions}))
    probe = seal("import", "contexts", file).id
    plain, made = run(*flags).id, run(*flags, "--probe", probe).id
    assert made != plain
    inputs = {
        name: json.loads(seal("show", name, "--json").out)["inputs"] for name in (plain, made)
    }
    assert [entry["artifact_id"] for entry in inputs[made]][-1] == probe
    found = rows(
        seal,
        f"""select method, metric, value from metrics
            where artifact_id = '{made}' and metric like 'probe%' and method <> 'unadapted'""",
    )
    assert {row["metric"] for row in found} == {"probe_accuracy", "probe_change", "probe_kl"}
    assert all(row["value"] > 0 for row in found if row["metric"] == "probe_kl")
    # The probe changes nothing else.
    query = "select answer_id from answers where artifact_id = '{}' order by answer_id"
    assert rows(seal, query.format(made)) == rows(seal, query.format(plain))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--replay", 2], "--replay goes with --regime continual"),
        (["--full"], "--full goes with --regime cpt"),
        ([*CONTINUAL, "--warmup", 0.1], "--warmup goes with --regime cpt"),
        ([*CONTINUAL, "--samples", 2], "takes one self-edit"),
        ([*CONTINUAL, "--repeats", 2], "the regime continual trains once"),
        ([*CONTINUAL, "--edits", 4], "a sequence of 4 edits needs as many contexts"),
        ([*CONTINUAL, "--separate", "--replay", 1], "separate adapters forget nothing"),
        ([*CONTINUAL, "--replay", 1.5], "replay is 1.5"),
        ([*CONTINUAL, "--gate", 5, "--gate-on", "probe"], "--gate-on probe needs a probe set"),
        ([*CONTINUAL, "--gate-on", "probe"], "there is no gate"),
        ([*CONTINUAL, "--gate-action", "reject"], "there is no gate"),
        (["--dtype", "float7"], "there is no dtype 'float7'"),
        (["--engine", "openai"], "cannot apply adapters that are trained here"),
        (["--regime", "cpt", "--warmup", 0.1], "goes with --full"),
        (["--regime", "fewshot"], "the regime fewshot is not for contexts of knowledge"),
    ],
)
def test_what_does_not_go_together_is_refused(run: Any, flags: list[Any], said: str) -> None:
    refused = run(*flags)
    assert (refused.code, refused.out) == (2, "")
    assert said in refused.err


@pytest.mark.parametrize(
    "flags",
    [["--regime", "cpt", "--full"], CONTINUAL, ["--engine", "vllm"]],
    ids=["full", "merged", "vllm"],
)
def test_4_bits_are_refused_before_any_work(
    seal: Any, run: Any, flags: list[Any], tmp_path: Path
) -> None:
    """Where weights themselves change, and where an engine has no such form of them."""
    refused = run("--dtype", "nf4", *flags)
    assert (refused.code, refused.out) == (2, "")
    assert "Leave out --dtype nf4" in refused.err
    assert not list((tmp_path / "store" / "work").iterdir())


def test_a_probe_with_contexts_that_are_evaluated_on_is_refused(seal: Any, run: Any) -> None:
    refused = run("--probe", "@latest:import")
    assert refused.code == 2
    assert "are in the probe" in refused.err


def test_a_probe_of_another_domain_is_refused(seal: Any, run: Any) -> None:
    grids = seal("import", "contexts", "tiny-grids", "--limit", 2).id
    refused = run("--probe", grids)
    assert refused.code == 2
    assert "is about arc" in refused.err
