"""What the reports say: against published figures, and on a store of one's own."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from seal_cli import reports

Row = dict[str, str]


def only(rows: list[Row], **wanted: object) -> Row:
    """The one row with these values."""
    (row,) = [r for r in rows if all(r[key] == str(value) for key, value in wanted.items())]
    return row


# research: paper Table 2, recomputed from the released files.
@pytest.mark.parametrize(
    ("regime", "questions", "method", "file", "accuracy"),
    [
        ("single", 974, "unadapted", "base.json", 0.3267),
        ("single", 974, "passage-only", "naive.json", 0.3351),
        ("single", 974, "self-edits", "base.json", 0.3968),
        ("single", 974, "self-edits", "gpt4_1.json", 0.4631),
        ("cpt", 500, "passage-only", "naive_200.json", 0.36),
        ("cpt", 500, "self-edits", "base_200.json", 0.506),
        ("cpt", 500, "self-edits", "gpt4_1_200.json", 0.594),
        ("cpt", 974, "self-edits", "cpt_base.json", 0.4097),
    ],
)
def test_table_2(
    report: Any,
    released: Path,
    regime: str,
    questions: int,
    method: str,
    file: str,
    accuracy: float,
) -> None:
    rows = report("paper-table2", store=released)
    row = only(rows, regime=regime, questions=questions, method=method, file=file, grader="gpt-4.1")
    assert float(row["accuracy"]) == accuracy
    assert float(row["low"]) < accuracy < float(row["high"])


def test_differences_are_paired_by_passage(report: Any, released: Path) -> None:
    """By the research notes +6.17 points, and +1.5 to +10.9 by a bootstrap; ours is Student's t."""
    rows = report("paper-table2", store=released)
    rows = [row for row in rows if row["grader"] == "gpt-4.1"]
    row = only(rows, regime="single", method="passage-only")
    low, high = (float(row[f"minus_{side}"]) for side in ("low", "high"))
    assert float(row["seal_minus_this"]) == 0.0617
    assert low == pytest.approx(0.015, abs=0.002)
    assert high == pytest.approx(0.109, abs=0.002)
    gpt = only(rows, regime="single", generator="GPT-4.1")
    assert float(gpt["seal_minus_this"]) == -0.0663
    assert gpt["seal"] == "Qwen2.5-7B"


def test_reward_noise_is_as_published(report: Any, released: Path) -> None:
    (row,) = report("reward-noise", store=released)
    assert row["icc_of_mean"] == "0.318"
    assert (row["random"], row["apparent"], row["true_reward"]) == (
        "0.402",
        "0.565",
        "0.427",
    )
    assert (row["tied_contexts"], row["best_is_no_gain"]) == ("22", "10")
    assert (row["contexts"], row["self_edits"], row["repeats"]) == ("50", "250", "3")


def test_empty_answers_are_as_published(report: Any, released: Path) -> None:
    rows = report("empty-answers", store=released)
    rows = [row for row in rows if row["grader"] == "gpt-4.1"]
    base = only(rows, method="self-edits", file="base.json")
    assert (base["empty"], base["accuracy_of_the_rest"]) == ("0.1663", "0.4877")
    gpt = only(rows, method="self-edits", file="gpt4_1.json")
    assert (gpt["empty"], gpt["accuracy_of_the_rest"]) == ("0.0791", "0.495")


def test_the_retention_matrix_is_as_published(report: Any, released: Path) -> None:
    rows = report("continual", store=released)
    seen = [float(row["seen"]) for row in rows]
    assert seen == [0.3075, 0.3825, 0.4315, 0.3894, 0.3608, 0.3082, 0.3047, 0.2716, 0.2474]
    last = [float(rows[8][str(p)]) for p in range(1, 9)]
    assert last == [0.1894, 0.219, 0.1641, 0.2372, 0.2206, 0.2745, 0.3349, 0.3397]
    assert [rows[1][str(p)] for p in range(2, 9)] == [""] * 7


@pytest.mark.parametrize(
    ("grader", "file", "method", "agreement", "kappa", "bias"),
    [
        ("offline-1", "naive.json", "passage-only", 0.895, 0.76, 3.1),
        ("offline-1", "base.json", "self-edits", 0.890, 0.77, 0.7),
        ("offline-1", "gpt4_1.json", "self-edits", 0.869, 0.735, 1.2),
        ("offline", "naive.json", "passage-only", 0.897, 0.77, 1.4),
        ("offline", "base.json", "self-edits", 0.905, 0.80, 1.3),
        ("offline", "gpt4_1.json", "self-edits", 0.875, 0.75, 2.2),
    ],
)
def test_the_offline_graders_agree_with_the_judge(
    seal: Any, report: Any, released: Path, grader: str, file: str, method: str, agreement: float,
    kappa: float, bias: float,
) -> None:  # fmt: skip
    query = f"select artifact_id from artifacts where source like '%query_server/eval/{file}'"
    source = seal("sql", query, "-f", "csv", store=released).out.split()[-1]
    assert seal("regrade", source, "--grader", grader, store=released).code == 0
    name = "offline-2" if grader == "offline" else grader
    rows = report("grader-agreement", store=released)
    row = only(rows, file=file, method=method, grader=name)
    assert (row["against"], row["answers"]) == ("gpt-4.1", "974")
    assert float(row["agreement"]) >= agreement
    assert float(row["kappa"]) >= kappa
    assert abs(float(row["bias_points"])) <= bias


def test_examples_are_of_one_context(report: Any, released: Path) -> None:
    rows = report("examples", "--context", "Estonian language", store=released)
    assert [row["sample"] for row in rows] == ["4", "2", "0", "1", "3"]
    assert {row["title"] for row in rows} == {"Estonian language"}
    assert report("examples", "--context", "no such title", store=released) == []


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rounds on the shipped model, as small as they get."""
    from typer.testing import CliRunner

    from seal_cli.app import app

    store = tmp_path_factory.mktemp("own") / "store"
    loop = ["loop", "--contexts", "tiny", "--rounds", "1", "--limit", "3", "--samples", "2"]
    done = CliRunner().invoke(
        app, ["--store", str(store), *loop, "--repeats", "2", "--eval-limit", "4"]
    )
    assert done.exit_code == 0, done.stderr
    return store


def test_rounds_of_ones_own(report: Any, seal: Any, own: Path) -> None:
    rows = report("rounds", store=own)
    lines = [(row["method"], row["round"]) for row in rows]
    assert lines == [("unadapted", "0"), ("passage-only", "0"), ("self-edits", "0"),
                     ("self-edits", "1")]  # fmt: skip
    query = (
        "select round, method, value from metrics where metric = 'accuracy' "
        "and (round = 0 or method = 'self-edits')"
    )
    metrics = [
        json.loads(line)
        for line in seal("sql", query, "-f", "json", store=own).out.split("\n")
        if line
    ]
    for metric in metrics:
        row = only(rows, method=metric["method"], round=metric["round"])
        assert float(row["accuracy"]) == round(metric["value"], 4)
    before, after = (float(row["accuracy"]) for row in rows[2:])
    assert float(rows[3]["gain_since_0"]) == pytest.approx(after - before, abs=1e-4)


def test_reward_noise_of_ones_own(report: Any, own: Path) -> None:
    (row,) = report("reward-noise", store=own)
    assert (row["contexts"], row["self_edits"], row["repeats"]) == ("3", "6", "2")


def test_cost_of_ones_own(report: Any, own: Path) -> None:
    rows = report("cost", store=own)
    assert [row["stage"] for row in rows] == [
        "import",
        "generate",
        "score",
        "filter",
        "update",
        "eval",
    ]
    scored = only(rows, stage="score")
    assert int(scored["adapters"]) == 12
    assert int(scored["trained_tokens"]) > 0
    assert int(scored["generated_tokens"]) > 0


@pytest.mark.parametrize("name", reports.NAMES)
def test_every_report_has_a_file_a_line_and_a_hint(name: str) -> None:
    report = reports.find(name)
    assert report.doc.endswith(".")
    assert len(report.doc) <= 100
    assert report.needs


def test_no_report_without_a_name() -> None:
    assert sorted(reports.NAMES) == sorted(path.stem for path in reports.FOLDER.glob("*.sql"))


@pytest.mark.parametrize("name", reports.NAMES)
def test_a_fresh_store_has_nothing_to_report(seal: Any, name: str) -> None:
    seal("init")
    result = seal("report", name)
    assert result.code == 0
    if name != "cost":
        assert f"{name}: nothing to report yet" in result.err


@pytest.mark.parametrize("form", ["table", "csv", "md", "html"])
def test_every_report_in_every_form(seal: Any, own: Path, form: str) -> None:
    for name in reports.NAMES:
        result = seal("report", name, "-f", form, store=own)
        assert result.code == 0
        assert result.out.strip()


def test_a_report_is_its_query(seal: Any, own: Path) -> None:
    for name in ("rounds", "paper-table2", "cost"):
        sql = seal("sql", "-", "-f", "csv", stdin=reports.find(name).sql, store=own)
        assert sql.out == seal("report", name, "-f", "csv", store=own).out


def test_without_a_name_it_says_what_there_is(seal: Any) -> None:
    seal("init")
    listed = seal("report").out
    assert all(name in listed for name in reports.NAMES)
    assert seal("report", "nothing").code == 2
    assert seal("report", "rounds", "cost", "-f", "csv").code == 2


def links(page: str) -> Iterator[str]:
    """Everything in a page that a browser would fetch."""
    yield from re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?([^"\'#)\s>][^"\')\s>]*)', page)
    yield from re.findall(r"@import|<script|<link|<iframe|<img", page)


def test_one_page_needs_nothing_else(seal: Any, own: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert seal("report", "-f", "html", "-o", page, store=own).code == 0
    text = page.read_text()
    assert all(f'<section id="{name}">' in text for name in reports.NAMES)
    assert text.count("<svg") >= 4
    assert [link for link in links(text) if not link.startswith("http://www.w3.org")] == []
    again = tmp_path / "again.html"
    seal("report", "-f", "html", "-o", again, store=own)
    assert again.read_bytes() == page.read_bytes()


HOSTILE = '<script>alert("x")</script> <img src=x onerror=y> \x1b[31m | `code` $x_1$'


def test_model_text_is_data_in_every_form(seal: Any, tmp_path: Path, random_model: Path) -> None:
    passage = {
        "title": HOSTILE,
        "context": "Text.",
        "questions": [{"question": "Q?", "answer": "A"}],
    }
    (tmp_path / "p.jsonl").write_text(json.dumps(passage))
    contexts = seal("import", "contexts", tmp_path / "p.jsonl").id
    how = ["--max-tokens", 8, "--samples", 1]
    edits = seal("generate", contexts, "--policy", random_model, *how).id
    seal("score", edits, "--repeats", 1, "--epochs", 1, "--rank", 2, "--answer-tokens", 4)
    html = seal("report", "-f", "html").out
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;script&gt;" in html
    for form in ("table", "md", "html"):
        assert "\x1b" not in seal("report", "examples", "-f", form).out
    assert "<script" not in seal("report", "examples", "-f", "md").out


def test_no_plots_without_matplotlib(seal: Any, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    result = seal("report", "rounds", "-f", "html", store=own)
    assert (result.code, "seal-adapt[plot]" in result.err) == (2, True)
    assert seal("report", "rounds", store=own).code == 0
