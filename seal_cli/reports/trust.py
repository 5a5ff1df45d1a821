"""How far the gains in a report can be trusted: their bias, where the grader was calibrated."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from seal_cli.store.query import fetch
from seal_cli.store.workspace import Workspace
from stages.grading import SCORES

if TYPE_CHECKING:
    import pyarrow as pa

_DIFFERENCES = re.compile("gain|.*minus|difference")  # how columns are called that show one
# SQuAD's are the passages of the SEAL release, and those that were imported under its name.
_PASSAGES = """
    SELECT DISTINCT source_file IS NOT NULL OR parse_filename(a.source) ILIKE '%squad%' AS squad
    FROM contexts JOIN artifacts a USING (artifact_id) WHERE domain = 'knowledge'"""


def trust(workspace: Workspace, result: "pa.Table", seconds: float) -> str:
    """A sentence or two per grader that estimates; nothing where no differences are shown."""
    names = result.column_names
    if "grader" not in names or not any(map(_DIFFERENCES.match, names)):
        return ""
    found = set(result.column("grader").to_pylist()) & set(SCORES)
    found = {name for name in found if not SCORES[name].exact}
    if not found:
        return ""
    squad = set(fetch(workspace, _PASSAGES, seconds).column("squad").to_pylist())
    return " ".join(line for grader in sorted(found) for line in _of(grader, squad))


def _of(grader: str, squad: set[bool]) -> Iterator[str]:
    known = SCORES[grader].bias
    if known and True in squad:
        yield (
            f"Bias of a gain under {grader}, against the paper's GPT-4.1 judge: {known.mean:+.1f} "
            f"points in the mean, at most {known.most:.1f} (measured on {known.measured})."
        )
    if known is None or False in squad:
        where = "on passages that are not SQuAD's" if known and True in squad else "here"
        yield f"{grader} is not calibrated {where}: the bias of a gain is not known."
