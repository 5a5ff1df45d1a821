"""What reports say of the bias of gains: where the grader was calibrated, and where not."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from seal_cli.reports.trust import trust
from seal_cli.store.workspace import Workspace
from stages.domains import DOMAINS
from stages.grading import SCORES

KNOWN = (
    "Bias of a gain under offline-2, against the paper's GPT-4.1 judge: -1.2 points in the mean, "
    "at most 2.7 (measured on "
)
UNKNOWN = "offline-2 is not calibrated here: the bias of a gain is not known."


def said(tmp_path: Path, grader: str | None = "offline-2", column: str = "gain") -> str:
    table = pa.table({"grader": pa.array([grader, grader], pa.string()), column: [0.1, None]})
    return trust(Workspace(tmp_path / "store"), table, 10.0)


def test_the_bias_is_told_of_passages_of_squad(seal: Any, passages: Path, tmp_path: Path) -> None:
    seal("import", "contexts", passages)
    assert said(tmp_path) == UNKNOWN
    squad = passages.rename(tmp_path / "SQuAD-dev.jsonl")
    squad.write_text(squad.read_text().replace("1871", "1872"))
    seal("import", "contexts", squad)
    both = said(tmp_path)
    assert both.startswith(KNOWN)
    assert both.endswith("offline-2 is not calibrated on passages that are not SQuAD's: the bias "
                         "of a gain is not known.")  # fmt: skip


def test_of_squad_alone_nothing_is_unknown(seal: Any, passages: Path, tmp_path: Path) -> None:
    seal("import", "contexts", shutil.copy(passages, tmp_path / "squad_val.jsonl"))
    assert said(tmp_path).startswith(KNOWN)
    assert "not calibrated" not in said(tmp_path)
    assert "+3.1 points in the mean, at most 6.1" in said(tmp_path, "offline-1")
    assert "f1 is not calibrated here" in said(tmp_path, "f1")


@pytest.mark.parametrize("grader", ["judge:gpt-4.1", "gpt-4.1", "arc-grid", None])
def test_judges_and_grids_need_no_calibration(
    seal: Any, passages: Path, tmp_path: Path, grader: str | None
) -> None:
    seal("import", "contexts", passages)
    assert said(tmp_path, grader) == ""


@pytest.mark.parametrize(
    ("column", "shows"),
    [
        ("gain_since_0", True), ("seal_minus_this", True), ("difference_low", True),
        ("accuracy", False), ("against", False), ("best_is_no_gain", False),
    ],
)  # fmt: skip
def test_only_differences_have_a_bias(
    seal: Any, passages: Path, tmp_path: Path, column: str, shows: bool
) -> None:
    seal("import", "contexts", passages)
    assert bool(said(tmp_path, column=column)) is shows


@pytest.mark.parametrize("form", ["table", "md", "html"])
def test_the_reports_of_the_release_say_it(seal: Any, released: Path, form: str) -> None:
    query = "select artifact_id from artifacts where source like '%query_server/eval/base.json'"
    source = seal("sql", query, "-f", "csv", store=released).out.split()[-1]
    assert seal("regrade", source, "--grader", "offline", store=released).code == 0
    text = seal("report", "prompt-ablation", "-f", form, store=released).out
    plain = " ".join(text.split()).replace("&#x27;", "'")
    assert KNOWN in plain
    assert "not calibrated" not in plain


def test_the_default_of_passages_is_calibrated() -> None:
    assert SCORES[DOMAINS["knowledge"].GRADER].bias is not None
