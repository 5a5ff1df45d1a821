"""What a verb of `seal_cli.api` gives: artifacts or rows, as Arrow, pandas or records."""

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from seal_cli import console
from seal_cli.store.artifact import Artifact
from stages.errors import ConfigError, RowsFailed

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from seal_cli.pipeline.chain import Chain

_WORKED_BY = {"metrics": ("answers", "verdicts"), "contexts": ("drafts",)}
_REASONS = 3  # that are said
SHOWN = 10  # rows of a result that prints itself


def _hint(failed: Sequence[Artifact]) -> str:
    """What to do; without a model the same rows would fail again: there is no --retry-failed."""
    retry = any(artifact.manifest["models"] for artifact in failed)
    return "Run again with --retry-failed." if retry else "See their reason column."


class Table:
    """Rows with a title: what `sql` gives."""

    def __init__(self, title: str, rows: "pa.Table") -> None:
        self.title, self._rows = title, rows

    def arrow(self) -> "pa.Table":
        """All rows."""
        return self._rows

    def pandas(self) -> "pd.DataFrame":
        """The same as a data frame."""
        return self.arrow().to_pandas()

    def records(self) -> list[dict[str, Any]]:
        """The same as dictionaries."""
        return list(self.arrow().to_pylist())

    def __repr__(self) -> str:
        return console.safe(f"{self.title}\n{self.arrow().slice(0, SHOWN).to_pandas()}")

    def _repr_html_(self) -> str:
        shown = self.arrow().slice(0, SHOWN).to_pandas()
        return f"<p>{escape(self.title)}</p>{shown.to_html()}"


class Made(Table):
    """Artifacts that were made, or found. Its text is their ids, so it goes where an id does."""

    def __init__(self, artifacts: Sequence[Artifact]) -> None:
        self.artifacts = artifacts
        self.title = ", ".join(self.ids)

    @property
    def ids(self) -> list[str]:
        """What the shell prints, a line each."""
        return [artifact.id for artifact in self.artifacts]

    @property
    def id(self) -> str:
        """The only one. Raises ConfigError where there are several."""
        if len(self.ids) != 1:
            raise ConfigError(f"there are {len(self.ids)} of them.", "Choose one of `.ids`.")
        return self.ids[0]

    def told(self) -> list[dict[str, Any]]:
        """What the shell prints with --json, an object each."""
        return [summary(artifact) for artifact in self.artifacts]

    def check(self) -> None:
        """Raise RowsFailed when rows failed."""
        failed = [artifact for artifact in self.artifacts if artifact.n_failed]
        if failed:
            raise RowsFailed(f"{sum(a.n_failed for a in failed)} rows failed.", _hint(failed))

    def check_any(self) -> None:
        """Raise RowsFailed when there are rows, and not one of them worked."""
        for artifact in self.artifacts:
            tables = artifact.manifest["tables"]
            # Means and questions have no status: what they are made from has.
            told = _WORKED_BY.get(artifact.kind, (artifact.kind,))
            for table in (tables[name] for name in told if name in tables):
                if 0 < table["rows"] == table["status"].get("failed", 0):
                    said = f"all {table['rows']} rows of {artifact.id} failed."
                    raise RowsFailed(said, _hint([artifact]))

    def __str__(self) -> str:
        return "\n".join(self.ids)


class Result(Made):
    """One artifact: its facts, and its tables, of which `kind` is the main one."""

    def __init__(self, artifact: Artifact) -> None:
        super().__init__([artifact])
        self.artifact, self.kind, self.stage = artifact, artifact.kind, artifact.stage
        self.tables, self.n_failed = artifact.tables, artifact.n_failed
        counts = (f"{name} {t['rows']}" for name, t in artifact.manifest["tables"].items())
        failed = f"; {self.n_failed} rows failed" if self.n_failed else ""
        self.title = f"{artifact.id}: {', '.join(counts)}{failed}"

    def arrow(self, table: str | None = None) -> "pa.Table":
        """A table, the main one where none is named. Raises InputError where there is none."""
        return self.artifact.arrow(table or self.kind)

    def pandas(self, table: str | None = None) -> "pd.DataFrame":
        """The same as a data frame."""
        return self.arrow(table).to_pandas()

    def records(self, table: str | None = None) -> list[dict[str, Any]]:
        """The same as dictionaries."""
        return list(self.arrow(table).to_pylist())


class Imported(Made):
    """An artifact for each file of a release that was imported, and why others were left out."""

    def __init__(self, made: Mapping[str, Artifact], left_out: Mapping[str, str]) -> None:
        super().__init__(list(made.values()))
        self.made, self.left_out = made, left_out
        self.title = f"{len(made)} files imported, {len(left_out)} left out"

    def arrow(self) -> "pa.Table":
        """What was imported, a row for each file."""
        made = self.made.items()
        return _arrow([{"file": n, "artifact_id": a.id, "kind": a.kind} for n, a in made])

    def check(self) -> None:
        """Raise RowsFailed when rows failed, or files were left out."""
        super().check()
        if self.left_out:
            raise RowsFailed(
                f"{len(self.left_out)} files were left out.",
                "See the reasons above, or leave off --strict.",
            )


class Rounds(Made):
    """The rounds of a loop, for each of its prompts; its ids are those of the last policies."""

    def __init__(self, chains: Sequence["Chain"]) -> None:
        self.chains = chains
        super().__init__([artifact for chain in chains for artifact in chain.made])

    @property
    def ids(self) -> list[str]:
        """The last policy of each chain."""
        return [chain.writer.id for chain in self.chains]

    def told(self) -> list[dict[str, Any]]:
        """One object: of the only chain, or of all by their prompts."""
        if self.chains[0].prompt is None:
            return [self.chains[0].told()]
        return [{"prompts": [{"prompt": chain.prompt} | chain.told() for chain in self.chains]}]

    def arrow(self) -> "pa.Table":
        """The policies as they were measured, a row for each; gains are over round 0."""
        blank = dict.fromkeys(("gain", "gain_low", "gain_high"))
        rounds = ((chain.prompt, one) for chain in self.chains for one in chain.rounds)
        rows = ({"prompt": p, "metrics": one.metrics.id} | blank | one.told() for p, one in rounds)
        return _arrow(list(rows))


def _arrow(rows: list[dict[str, Any]]) -> "pa.Table":
    import pyarrow as pa

    return pa.Table.from_pylist(rows)


def summary(artifact: Artifact) -> dict[str, Any]:
    """An artifact as --json tells it."""
    return summary_of(artifact.manifest, str(artifact.path))


def summary_of(manifest: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The same of a manifest whose artifact is at `path`, or a URL."""
    return {
        "artifact_id": manifest["artifact_id"],
        "kind": manifest["kind"],
        "stage": manifest["stage"],
        "status": manifest["status"],
        "inputs": [entry["artifact_id"] for entry in manifest["inputs"]],
        "tables": manifest["tables"],
        "path": path,
        "seconds": manifest["seconds"],
    }


def reasons(artifact: Artifact) -> list[tuple[str, int]]:
    """The commonest reasons of its failed rows, with how many there are; the main table's first."""
    for table in artifact.tables:
        n_failed = artifact.manifest["tables"][table]["status"].get("failed", 0)
        if n_failed and table != "verdicts":  # whose rows fail with their answers
            rows = artifact.arrow(table, ["status", "reason"]).to_pylist()
            said = (row["reason"] or "no reason" for row in rows if row["status"] == "failed")
            return Counter(said).most_common(_REASONS)
    return []
