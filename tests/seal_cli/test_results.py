"""What is said of rows that failed."""

from pathlib import Path

import pytest
from stored import publish

from seal_cli.results import Result
from stages.errors import RowsFailed
from stages.records import Context, Metric, Record, Verdict

MEAN = Metric("p", 0, "d", "single", "unadapted", None, None, "accuracy", None, None, None, 0, 1, 1)


@pytest.mark.parametrize("correct", [(None, None), (None, True)])
def test_means_failed_where_no_answer_could_be_judged(
    tmp_path: Path, correct: tuple[bool | None, ...]
) -> None:
    """A mean has no status: the verdicts that it is made of have."""
    verdicts: list[Record] = [Verdict("a", "c", "g", one, None, "down") for one in correct]
    made = Result(publish(tmp_path / "store", "eval", "metrics", [MEAN, *verdicts]))
    if any(correct):
        made.check_any()
        return
    with pytest.raises(RowsFailed, match="all 2 rows"):
        made.check_any()


def test_no_row_is_no_failure(tmp_path: Path) -> None:
    rows: list[Record] = [Context("c", 0, "knowledge", "train", "", "text")]
    Result(publish(tmp_path / "store", "import", "contexts", rows)).check_any()
