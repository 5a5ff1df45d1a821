"""`seal view`: self-edits to browse, as one HTML page that loads nothing.

The page holds its data compressed; its own script draws what is looked at. What the store has is
data: control characters are made visible here, and the script makes text of it, never markup.
"""

import base64
import gzip
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from seal_cli import __version__, console
from seal_cli.reports import find
from seal_cli.reports.colours import COLOURS
from seal_cli.store.query import fetch
from seal_cli.store.workspace import Workspace
from stages.domains import drawn

Row = dict[str, Any]
_FOLDER = Path(__file__).parent
_ABOUT = ("device", "git", "versions")  # of a manifest
_OF_ATTEMPT = ("context_id", "asked_in")  # which the page does not need
_CHOSEN = """
    SELECT x.input, s.artifact_id, s.self_edit_id, s.kept, s.rank, s.rule, s.reason, s.weight
    FROM selections s JOIN (SELECT artifact_id, unnest(inputs) AS input FROM artifacts) x
        USING (artifact_id)
    WHERE list_contains($only, s.artifact_id) ORDER BY ALL"""
_CONTEXTS = """
    SELECT context_id AS id, any_value(title) AS title, any_value(split) AS split,
           any_value(domain) AS domain, any_value(text) AS text, min(ordinal) AS ordinal
    FROM contexts WHERE list_contains($only, artifact_id)
    GROUP BY context_id ORDER BY split DESC, ordinal, context_id"""
_QUESTIONS = """
    SELECT question_id AS id, any_value(context_id) AS context_id, any_value(question) AS question,
           any_value(answers) AS gold, any_value(origin) AS origin
    FROM questions WHERE list_contains($only, artifact_id)
    GROUP BY question_id ORDER BY min(ordinal), question_id"""
_FLIPS = """
    SELECT artifact_id, self_edit_id, grader, question_id, before, after, before_share,
           after_share, change
    FROM flips WHERE list_contains($only, artifact_id) ORDER BY ALL"""
_LINES = """
    SELECT self_edit_id, arg_min(lines, artifact_id) AS lines
    FROM (SELECT artifact_id, self_edit_id, list(line ORDER BY ordinal) AS lines
          FROM lines GROUP BY ALL) GROUP BY self_edit_id"""
_MODELS = """
    SELECT policy AS id, any_value(n.name) AS name, any_value(parent) AS parent,
           min(round) AS round, any_value(method) AS method, any_value(selection) AS selection
    FROM policies LEFT JOIN model_names n USING (policy)
    WHERE list_contains($only, artifact_id) GROUP BY policy ORDER BY min(round), policy"""


def gather(workspace: Workspace, ids: Sequence[str], seconds: float) -> Row:
    """What the page shows: everything, or the artifacts `ids` with all they were made from.

    Raises ConfigError or ResourceError as `fetch` does; `seconds` are those of one query.
    """
    lineage = "SELECT DISTINCT ancestor FROM lineage WHERE list_contains($ids, artifact_id)"
    if ids:
        found = fetch(workspace, lineage, seconds, {"ids": list(ids)}).to_pylist()
        only = sorted(row["ancestor"] for row in found)
    else:
        only = workspace.ids()

    def asked(query: str) -> list[Row]:
        named = {"only": only} if "$only" in query else {}
        rows: list[Row] = fetch(workspace, query, seconds, named).to_pylist()
        return rows

    attempts = asked((_FOLDER / "attempts.sql").read_text(encoding="utf-8"))
    contexts = {row["id"]: row for row in asked(_CONTEXTS)}
    for attempt in attempts:  # an import may have rewards of contexts that are not here
        contexts.setdefault(attempt["context_id"], {"id": attempt["context_id"]})
    for row in contexts.values():
        row |= {"questions": [], "attempts": [], "pairs": _pairs(row.get("text") or "")}
    for row in asked(_QUESTIONS):
        if row["context_id"] in contexts:
            contexts[row.pop("context_id")]["questions"].append(
                row | {"question": _shown(row["question"]), "gold": list(map(_shown, row["gold"]))}
            )
    _join(attempts, asked(_FLIPS), asked(_CHOSEN), asked(_LINES))
    for attempt in attempts:
        own = {key: value for key, value in attempt.items() if key not in _OF_ATTEMPT}
        contexts[attempt["context_id"]]["attempts"].append(own)
    return {
        "seal": __version__,
        "colours": COLOURS,
        "contexts": list(contexts.values()),
        "rounds": asked(_rounds()),
        "models": asked(_MODELS),
        "runs": _runs(workspace, asked),
    }


def _join(
    attempts: Sequence[Row], flips: Sequence[Row], chosen: Sequence[Row], lines: Sequence[Row]
) -> None:
    """Put to each attempt its questions, what selections said of it, and its training lines."""
    changes, selections = defaultdict(list), defaultdict(list)
    for row in flips:
        said = {"before": _shown(row["before"]), "after": _shown(row["after"])}
        key = tuple(row.pop(name) for name in ("artifact_id", "self_edit_id", "grader"))
        changes[key].append(row | said)
    for row in chosen:
        selections[row.pop("input"), row.pop("self_edit_id")].append(row)
    texts = {row["self_edit_id"]: row["lines"] for row in lines}
    for attempt in attempts:
        edit = attempt["self_edit_id"]
        attempt["flips"] = changes.get((attempt["asked_in"], edit, attempt["grader"]), [])
        attempt["chosen"] = selections.get((attempt["artifact_id"], edit), [])
        attempt["lines"] = texts.get(edit, [])


def _rounds() -> str:
    """The report `rounds`, of some artifacts."""
    some = "WITH accuracies AS (FROM main.accuracies WHERE list_contains($only, artifact_id)), "
    return find("rounds").sql.replace("WITH ", some, 1)


def _runs(workspace: Workspace, asked: Callable[[str], list[Row]]) -> list[Row]:
    """Every artifact with its settings, digest, models and versions."""
    settings = defaultdict(list)
    for row in asked("FROM settings WHERE list_contains($only, artifact_id) ORDER BY ALL"):
        settings[row.pop("artifact_id")].append(row)
    runs = asked(
        "FROM runs WHERE list_contains($only, artifact_id) ORDER BY created_at, artifact_id"
    )
    for run in runs:
        artifact = workspace.artifact(run["artifact_id"])
        manifest = artifact.manifest
        models = manifest.get("models", {})
        run |= {name: manifest.get(name) for name in _ABOUT}
        run |= {"created_at": str(run["created_at"]), "settings": settings[artifact.id]}
        run |= {"sha256": artifact.digest, "models": {k: m.get("name") for k, m in models.items()}}
    return runs


def _shown(text: str | None) -> Any:
    """A text; where a domain draws it, `{"grid": [[…]]}`."""
    found = drawn(text) if text else None
    return text if found is None else {"grid": found}


def _pairs(text: str) -> list[Any] | None:
    """The demonstrations that a context's text is, drawn; None where it is to be read."""
    try:
        found = json.loads(text)
        pairs = [[_shown(json.dumps(pair[side])) for side in ("input", "output")] for pair in found]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return pairs if all(isinstance(shown, dict) for pair in pairs for shown in pair) else None


def page(data: Mapping[str, Any]) -> str:
    """The whole page. `data` is what `gather` gave."""
    told = json.dumps(_plain(data), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    packed = gzip.compress(told.encode(), 6, mtime=0)
    script, style = (
        (_FOLDER / f"page.{kind}").read_text(encoding="utf-8") for kind in ("js", "css")
    )
    parts = {
        # Our own script and style, by their digests: nothing else runs, nothing is asked for.
        "policy": (
            f"default-src 'none'; script-src '{_source(script)}'; style-src '{_source(style)}'; "
            "base-uri 'none'; form-action 'none'"
        ),
        "style": style,
        "script": script,
        "data": base64.b64encode(packed).decode(),
    }
    whole = (_FOLDER / "page.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], whole)


def _source(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _plain(value: Any) -> Any:
    """As JSON has it: no nulls in objects, six digits, control characters visible."""
    match value:
        case str():
            return console.safe(value)
        case float():  # JSON has neither NaN nor infinities
            return float(f"{value:.6g}") if abs(value) < float("inf") else None
        case Mapping():
            return {key: _plain(v) for key, v in value.items() if v is not None}
        case Collection():
            return [_plain(v) for v in value]
    return value
