"""What is at hand of the release: every published number, and every row's place in its file."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

Row = dict[str, Any]


@pytest.fixture(scope="module")
def store(official: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything imported once."""
    from typer.testing import CliRunner

    from seal_cli.app import app

    root = tmp_path_factory.mktemp("official") / "store"
    result = CliRunner().invoke(
        app, ["--store", str(root), "import", "official", str(official.parent)]
    )
    assert result.exit_code == 0, result.stderr
    assert len(set(result.stdout.split())) == 28
    assert "sample_submission.json left out: a form for answers to ARC tasks" in result.stderr
    assert "28 files imported, 1 left out." in result.stderr
    return root


# Zweiger et al. 2025, Table 2, as recomputed from the released files (macro over 200 passages).
@pytest.mark.parametrize(
    ("method", "policy", "file", "published"),
    [
        ("unadapted", "official-base", "base", 0.326683),
        ("passage-only", "official-base", "naive", 0.335147),
        ("self-edits", "official-base", "base", 0.396825),
        ("self-edits", "official-gpt-4.1", "gpt4_1", 0.463130),
    ],
)
def test_single_passage_accuracies(
    ask: Any, method: str, policy: str, file: str, published: float
) -> None:
    (row,) = ask(
        f"select * from metrics where regime = 'single' and metric = 'accuracy' and method = "
        f"'{method}' and policy = '{policy}' and source_file like '%eval/{file}.json'"
    )
    assert row["value"] == pytest.approx(published, abs=2e-6)
    assert row["ci_low"] < row["value"] < row["ci_high"]
    assert (row["n"], row["n_questions"], row["basis"]) == (200, 974, "answers")


@pytest.mark.parametrize(
    ("file", "method", "policy", "n", "published"),
    [
        ("cpt/200/naive_200", "passage-only", "official-base", 500, 0.36),
        ("cpt/200/base_200", "self-edits", "official-base", 500, 0.506),
        ("cpt/200/base_200", "unadapted", "official-base", 500, 0.32),
        ("cpt/200/gpt4_1_200", "self-edits", "official-gpt-4.1", 500, 0.594),
        ("cpt/old/cpt_naive", "passage-only", "official-base", 974, 0.322382),
        ("cpt/old/cpt_base", "self-edits", "official-base", 974, 0.409651),
    ],
)
def test_continued_pretraining_accuracies(
    ask: Any, file: str, method: str, policy: str, n: int, published: float
) -> None:
    (row,) = ask(
        f"select * from metrics where regime = 'cpt' and metric = 'accuracy' and method = "
        f"'{method}' and policy = "
        f"'{policy}' and source_file like '%{file}.json'"
    )
    assert row["value"] == pytest.approx(published, abs=5e-7)
    assert row["n"] == n


def test_the_questions_of_continued_pretraining_are_the_right_ones(ask: Any) -> None:
    """They are not in those files: a wrong order would make the offline grader disagree."""
    from stages.grading import GRADERS

    rows = ask(
        "select question, q.answers, a.text, correct from answers a "
        "join verdicts using (artifact_id, answer_id) "
        "join questions q using (artifact_id, question_id) "
        "where a.source_file like '%cpt/%' and method <> 'unadapted'"
    )
    assert len(rows) == 3 * 500 + 2 * 974
    same = [
        GRADERS["offline-2"].grade(row["question"], row["answers"], row["text"]).correct
        is row["correct"]
        for row in rows
    ]
    assert sum(same) / len(same) > 0.87


def test_the_continual_matrix_of_the_summaries_is_the_overall_one(ask: Any) -> None:
    cells = ask(
        "with s as (select step, position, sum(value * n) / sum(n) as value, sum(n) as n "
        "from metrics where metric = 'accuracy' and dataset = 'squad_val' group by all) "
        "select step, position, s.value, s.n, m.value as overall from s join metrics m "
        "using (step, position) where metric = 'accuracy' and dataset = 'squad_val (overall)'"
    )
    assert len(cells) == 72
    assert {int(cell["n"]) for cell in cells} == {64}
    for cell in cells:
        missing = cell["step"] > 0 and cell["position"] > cell["step"]
        assert (cell["value"] is None) == (cell["overall"] is None) == missing
        if not missing:
            assert cell["value"] == pytest.approx(cell["overall"], abs=5.01e-5)  # rounded
    means = [
        sum(c["value"] for c in cells if c["step"] == step and c["value"] is not None) / step
        for step in range(1, 9)
    ]
    published = [0.3825, 0.4315, 0.3894, 0.3608, 0.3082, 0.3047, 0.2716, 0.2474]
    assert [round(value, 4) for value in means] == published
    diagonal = {c["step"]: round(c["value"], 4) for c in cells if c["step"] == c["position"]}
    assert list(dict(sorted(diagonal.items())).values()) == [
        0.3825, 0.4988, 0.4462, 0.4397, 0.3764, 0.4489, 0.3846, 0.3397,
    ]  # fmt: skip


def test_the_paper_s_selection_is_reproduced_byte_for_byte(
    seal: Any, ask: Any, store: Path, official: Path, tmp_path: Path
) -> None:
    (run,) = ask("select artifact_id from artifacts where source like '%rank_iter0.json'")
    exported = tmp_path / "sft.jsonl"
    seal("filter", run["artifact_id"], "--export", exported, store=store)
    released = official / "data/synthetic_data/EM_SFT/sft_best1of5_iter0.jsonl"
    assert exported.read_bytes() == released.read_bytes()


def test_the_rewards_are_the_recorded_ones(ask: Any, official: Path) -> None:
    run = json.loads((official / "results/query_server/train/rank_iter0.json").read_text())
    recorded = [c["stats"] for article in run["articles"] for c in article["completions"]]
    rows = ask("select * from rewards where source_file like '%rank_iter0.json'")
    assert [row["reward"] for row in rows] == [stats["adapter_mean"] for stats in recorded]
    assert [row["baseline_accuracy"] for row in rows] == [s["baseline_mean"] for s in recorded]
    assert [row["gain"] for row in rows] == [stats["gain_mean"] for stats in recorded]
    for row, stats in zip(rows, recorded, strict=True):  # theirs is the sample's, rounded
        assert row["adapted_std"] * (3 / 2) ** 0.5 == pytest.approx(stats["adapter_std"], abs=2e-4)
    assert {row["basis"] for row in rows} == {"answers"}
    assert {(row["n_repeats"], row["grader"]) for row in rows} == {(3, "gpt-4.1")}


def test_the_released_finetuning_file_knows_its_passages(ask: Any) -> None:
    rows = ask(
        "select c.split, s.sample, k.source_position from selections k join self_edits s "
        "using (artifact_id, self_edit_id) join contexts c on c.artifact_id = k.artifact_id "
        "and c.context_id = k.context_id"
    )
    assert len(rows) == 50
    assert {row["split"] for row in rows} == {"train"}
    assert rows[6]["source_position"] == "line 7"


def test_the_same_self_edit_is_the_same_wherever_it_stands(ask: Any) -> None:
    (row,) = ask(
        "select count(*) as n from rewards r join self_edits s on r.self_edit_id = s.self_edit_id "
        "join artifacts a on a.artifact_id = s.artifact_id and a.kind = 'self_edits' "
        "where r.source_file like '%rank_iter0%' and s.source_file like '%train/iter0_train.json'"
    )
    assert row["n"] == 250


def test_empty_answers_are_as_many_as_published(ask: Any) -> None:
    rows = ask(
        "select source_file, avg((trim(text) = '')::int) as empty from answers where method <> "
        "'unadapted' and source_file like '%query_server/eval%' group by all order by all"
    )
    shares = {Path(row["source_file"]).stem: round(row["empty"], 3) for row in rows}
    assert (shares["base"], shares["gpt4_1"]) == (0.166, 0.079)


TABLES = {"contexts", "questions", "self_edits", "adapters", "answers", "verdicts", "rewards",
          "selections", "policies", "metrics"}  # fmt: skip


@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_row_says_where_it_was_read(ask: Any, official: Path, table: str) -> None:
    (row,) = ask(
        f"select count(*) as n, count(source_file) as files, count(source_sha256) as digests, "
        f"count(source_position) as places from {table} where artifact_id like 'import-%'"
    )
    assert row["n"] == row["files"] == row["digests"] == row["places"] > 0
    imported = f"from {table} where artifact_id like 'import-%'"
    for name in ask(f"select distinct source_file, source_sha256 {imported}"):
        content = (official.parent / name["source_file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == name["source_sha256"]


def look(content: Any, pointer: str) -> Any:
    for part in pointer.strip("/").split("/"):
        content = content[int(part) if isinstance(content, list) else part]
    return content


@pytest.mark.parametrize(
    ("table", "column", "where"),
    [
        ("answers", "text", "true"),
        ("verdicts", "correct", "true"),
        ("self_edits", "completion", "source_file like '%synthetic_data%'"),
        ("metrics", "value", "regime = 'continual' and value is not null"),
    ],
)
def test_the_place_is_the_place(
    ask: Any, official: Path, table: str, column: str, where: str
) -> None:
    rows = ask(
        f"select {column} as value, source_file, source_position from {table} where {where} "
        "using sample reservoir(200 rows) repeatable (1)"
    )
    contents = {
        name: json.loads((official.parent / name).read_text())
        for name in {row["source_file"] for row in rows}
    }
    assert rows
    for row in rows:
        found = look(contents[row["source_file"]], row["source_position"])
        assert found == row["value"]


def test_a_second_import_is_a_hit(seal: Any, store: Path, official: Path) -> None:
    before = sorted((store / "artifacts").iterdir())
    stamps = [path.stat().st_mtime_ns for path in before]
    result = seal("import", "official", official.parent, store=store)
    assert result.code == 0
    assert result.err.count("is there already") == 28
    assert sorted((store / "artifacts").iterdir()) == before
    assert [path.stat().st_mtime_ns for path in before] == stamps


def test_a_part_of_the_release_has_the_ids_of_the_whole(
    seal: Any, store: Path, official: Path
) -> None:
    part = seal("import", "official", official / "results/query_server")
    whole = seal("import", "official", official.parent, store=store)
    assert part.code == 0
    assert len(part.out.split()) == 4
    assert set(part.out.split()) <= set(whole.out.split())


def test_imported_self_edits_can_be_used(seal: Any, store: Path, random_model: Path) -> None:
    """The next stages take them, with a student that is on this machine; limits are ours."""
    query = "select artifact_id from artifacts where source like '%EM_SFT%'"
    chosen = seal("sql", query, "-f", "csv", store=store).out.split()[-1]
    refused = seal("update", chosen, store=store)
    assert (refused.code, "--policy" in refused.err) == (2, True)
    how = ["--policy", random_model, "--rank", 2, "--epochs", 1, "--max-length", 1500]
    policy = seal("update", chosen, *how, "--targets", "default", store=store)
    assert policy.id.startswith("update-")
