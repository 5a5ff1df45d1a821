"""Which file of a release is read how, and which other files that takes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from seal_cli.importers.official import continual, cpt, fewshot, labels, passages, query_server, sft
from seal_cli.importers.official.release import File, Release
from seal_cli.importers.official.run import Run
from stages.errors import InputError
from stages.records import Record


@dataclass(frozen=True)
class Source:
    """One file to import, the files it cannot be understood without, and how to read it."""

    file: File
    kind: str
    labels: Sequence[str]  # read from names: with them a file's content decides its rows
    rows: Callable[[], Iterable[Record]]
    beside: Sequence[File] = ()
    domain: str = "knowledge"
    tables: Sequence[str] = ()  # further ones that are there even when the file has no row of them
    meta: Mapping[str, Any] = field(default_factory=dict)


class Sources:
    """The files of a release that can be imported, each with how; the others are left out."""

    def __init__(self, release: Release) -> None:
        self.release = release
        self._written = sft.Written()

    def __iter__(self) -> Iterator[Source]:
        """Files that others are read with come first. What is left out says so in the release."""
        for schema, read in _READERS.items():
            for file in self.release.files:
                known = self.release.known.get(file.name)
                if known is None or known.name != schema:
                    continue
                try:
                    source = read(self, file, self.release.read(file))
                except InputError as error:
                    self.release.leave_out(file, error)
                    continue
                if source is not None:
                    tables, meta = _TABLES.get(source.kind, ()), self.release.meta(file)
                    yield replace(source, tables=tables, meta=meta)

    @cached_property
    def validation(self) -> cpt.Validation | None:
        """SQuAD's validation passages: squad_val, or what there is."""
        found = [
            (file, data)
            for file, data in self.release.of("passages")
            if labels.split_of(file.name) == "eval"
        ]
        own = (pair for pair in found if labels.stem_of(pair[0].name) == "squad_val")
        first = next(own, found[0] if found else None)
        return cpt.Validation(*first) if first else None

    def passages(self, file: File, data: Any) -> Source:
        """Passages with their questions."""
        split = labels.split_of(file.name)
        return Source(file, "contexts", [split], lambda: passages.passages(file, data))

    def self_edits(self, file: File, data: Any) -> Source:
        """Passages with what a policy wrote about them; nothing, for training on passages alone."""
        self._written.add(file, data)
        written = any(text.strip() for passage in data for text in passage.completions)
        return Source(
            file,
            "self_edits" if written else "contexts",
            passages.names(file, data),
            lambda: passages.self_edits(file, data),
        )

    def entigraph(self, file: File, data: Any) -> Source:
        """Passages with texts about their entities."""
        names = [labels.split_of(file.name), passages.entigraph_writer(file).policy]
        return Source(file, "self_edits", names, lambda: passages.entigraph(file, data))

    def query_server(self, file: File, data: Any) -> Source:
        """What self-edits earned, one passage at a time."""
        self._written.add(file, data)
        run = Run(file, data)
        kind = "rewards" if run.has_rewards else "metrics"
        return Source(file, kind, run.experiment.names, lambda: query_server.rows(run))

    def cpt(self, file: File, data: Any) -> Source:
        """One model finetuned on many passages. Raises InputError without its questions."""
        run = cpt.run_of(file, data)
        datasets = self.release.of(
            "self-edits", "passages", where=lambda other: cpt.is_named(other, run.dataset)
        )
        named = next(datasets, None)
        validation = self.validation or (cpt.Validation(*named, shuffled=True) if named else None)
        if validation is None:
            raise InputError(
                f"its questions stand in data/squad_val.json or in {run.dataset}; neither is here."
            )
        cpt.check_order(run, validation, named)
        asked = cpt.asked(run, validation)
        return Source(
            file, "metrics", run.experiment.names, lambda: cpt.rows(run, asked), [validation.file]
        )

    def continual(self, file: File, data: Any) -> Source:
        """Retention after a sequence of self-edits."""
        dataset = continual.dataset(file, data, self.release.of("continual"))
        names = [continual.writer(file, data).policy, dataset]
        return Source(file, "metrics", names, lambda: continual.rows(file, data, dataset))

    def sft(self, file: File, data: Any) -> Source:
        """Lines that a policy was finetuned on. Raises InputError for those of nobody here."""
        source = self._written.find(data)
        if source is None:
            raise InputError("no file of self-edits here has its lines.")
        known = sft.edits(source, self.release.read(source))
        names = [labels.split_of(source.name), source.name.split("/")[-1]]
        return Source(file, "selections", names, lambda: sft.rows(file, data, known), [source])

    def arc_tasks(self, file: File, data: Any) -> Source:
        """ARC tasks, with the solutions that lie beside them."""
        name = fewshot.solutions_name(file)
        found = self.release.of("arc-solutions", where=lambda other: other.name == name)
        solved = next(found, None)
        return Source(
            file,
            "contexts",
            [labels.split_of(file.name)],
            lambda: fewshot.tasks(file, data, solved),
            beside=[solved[0]] if solved else [],
            domain=fewshot.DOMAIN,
        )

    def arc_solutions(self, file: File, data: Any) -> None:
        """Nothing of their own: they come with their tasks. Raises InputError without them."""
        names = {fewshot.solutions_name(other) for other, _ in self.release.of("arc-tasks")}
        if file.name not in names:
            raise InputError("the tasks that it solves are not beside it.")

    def submission(self, file: File, data: Any) -> None:
        """Nothing to import."""
        raise InputError("a form for answers to ARC tasks; it holds none of the paper's.")

    def few_shot_edits(self, file: File, data: Any) -> Source:
        """Tool calls written for ARC tasks."""
        return self._of_tasks(file, data, "self_edits", list(data), fewshot.self_edits)

    def few_shot_results(self, file: File, data: Any) -> Source:
        """Which self-edit solved which task."""
        names = [fewshot.task_of(name) for t in data.values() for name in t.task_id.values()]
        return self._of_tasks(file, data, "rewards", names, fewshot.results)

    def _of_tasks(
        self,
        file: File,
        data: Any,
        kind: str,
        names: list[str],
        read: Callable[..., Iterable[Record]],
    ) -> Source:
        """A file that names ARC tasks: their demonstrations stand in another one."""
        tasks = fewshot.tasks_file(names, self.release.of("arc-tasks"))
        if tasks is None:
            raise InputError("no file of ARC tasks here has its tasks.")
        return Source(
            file,
            kind,
            [labels.split_of(tasks[0].name), fewshot.run_of(file).folder],
            lambda: read(file, data, *tasks),
            beside=[tasks[0]],
            domain=fewshot.DOMAIN,
        )


# What the next stages read of an artifact of this kind. Self-edits that are in another file are not
# among them: an empty table would say that there are none.
_TABLES = {
    "contexts": ("questions",),
    "self_edits": ("contexts", "questions"),
    "rewards": ("contexts", "questions"),
    "selections": ("contexts", "questions"),
}

# In the order in which they are read.
_READERS: dict[str, Callable[[Sources, File, Any], Source | None]] = {
    "passages": Sources.passages,
    "self-edits": Sources.self_edits,
    "entigraph": Sources.entigraph,
    "query-server": Sources.query_server,
    "cpt-v1": Sources.cpt,
    "cpt-v2": Sources.cpt,
    "continual": Sources.continual,
    "sft": Sources.sft,
    "arc-tasks": Sources.arc_tasks,
    "arc-solutions": Sources.arc_solutions,
    "submission": Sources.submission,
    "few-shot-edits": Sources.few_shot_edits,
    "few-shot-results": Sources.few_shot_results,
}
