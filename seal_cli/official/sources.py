"""Which file of a release is read how, and which other files that takes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from seal_cli.official import continual, cpt, fewshot, labels, passages, query_server, sft
from seal_cli.official.release import File, Release
from stages.records import Record


@dataclass(frozen=True)
class Source:
    """One file to import, the files it cannot be understood without, and how to read it.

    `labels` is what was read from names: a file's content decides its rows only together with them.
    """

    file: File
    kind: str
    labels: Sequence[str]
    rows: Callable[[], Iterable[Record]]
    beside: Sequence[File] = ()
    domain: str = "knowledge"
    tables: Sequence[str] = ()  # further ones that are there even when the file has no row of them
    meta: Mapping[str, Any] = field(default_factory=dict)


def sources(release: Release) -> Iterator[Source]:
    """Every file that can be imported. What another file is needed for says so in `skipped`."""
    for file in release.files:
        if file.name not in release.known:
            continue
        read = _READERS.get(release.known[file.name].name)
        source = read(release, file) if read else None
        if source is not None:
            tables = _TABLES.get(source.kind, ())
            yield replace(source, tables=tables, meta=release.meta(file))


def _passages(release: Release, file: File) -> Source:
    split = labels.split_of(file.name)
    return Source(file, "contexts", [split], lambda: passages.passages(file, release.read(file)))


def _self_edits(release: Release, file: File) -> Source:
    data = release.read(file)
    written = any(text.strip() for passage in data for text in passage.completions)
    return Source(
        file,
        "self_edits" if written else "contexts",
        passages.names(file, data),
        lambda: passages.self_edits(file, release.read(file)),
    )


def _entigraph(release: Release, file: File) -> Source:
    names = [labels.split_of(file.name)]
    return Source(file, "self_edits", names, lambda: passages.entigraph(file, release.read(file)))


def _query_server(release: Release, file: File) -> Source:
    run = query_server.Run(file, release.read(file))
    kind = "metrics" if run.passage_only else "rewards"
    names = [run.prompt, run.writer.policy, run.student.policy]
    return Source(file, kind, names, lambda: query_server.rows(file, release.read(file)))


def _cpt(release: Release, file: File) -> Source | None:
    asked = cpt.passages_file(release)
    if asked is None:
        release.skipped[file.name] = "its questions stand in data/squad_val.json, not found"
        return None
    run = cpt.run_of(file, release.read(file))
    named = cpt.named_file(release, run)
    if named is not None and named.sha256 != asked.sha256:
        written = release.read(named)
        if len(written) < run.n_articles:
            why = f"{named.name}, its dataset, has {len(written)} passages and not {run.n_articles}"
            release.skipped[file.name] = why
            return None
        cpt.check_order(run, asked, release.read(asked), named, written)
    names = [run.writer.policy, run.method]
    return Source(
        file, "metrics", names, lambda: cpt.rows(run, asked, release.read(asked)), [asked]
    )


def _continual(release: Release, file: File) -> Source:
    data = release.read(file)
    dataset = continual.dataset(release, file, data)
    names = [continual.writer(file, data).policy, dataset]
    return Source(file, "metrics", names, lambda: continual.rows(file, data, dataset))


def _sft(release: Release, file: File) -> Source | None:
    found = sft.source_of(release, release.read(file))
    if found is None:
        release.skipped[file.name] = "no file of self-edits here has its lines"
        return None
    source, known = found
    names = [labels.split_of(source.name), source.name.split("/")[-1]]
    return Source(
        file, "selections", names, lambda: sft.rows(file, release.read(file), known), [source]
    )


def _arc_tasks(release: Release, file: File) -> Source:
    solved = fewshot.solutions_file(release, file)
    return Source(
        file,
        "contexts",
        [labels.split_of(file.name)],
        lambda: fewshot.tasks(
            file, release.read(file), solved, release.read(solved) if solved else {}
        ),
        beside=[solved] if solved else [],
        domain=fewshot.DOMAIN,
    )


def _few_shot_edits(release: Release, file: File) -> Source | None:
    return _of_tasks(release, file, "self_edits", list(release.read(file)), fewshot.self_edits)


def _few_shot_results(release: Release, file: File) -> Source | None:
    trials = release.read(file).values()
    names = [fewshot.task_of(name) for trial in trials for name in trial.task_id.values()]
    return _of_tasks(release, file, "rewards", names, fewshot.results)


def _of_tasks(
    release: Release, file: File, kind: str, names: list[str], read: Callable[..., Iterable[Record]]
) -> Source | None:
    """A file that names ARC tasks: their demonstrations stand in another one."""
    tasks = fewshot.tasks_file(release, names)
    if tasks is None:
        release.skipped[file.name] = "no file of ARC tasks here has its tasks"
        return None
    return Source(
        file,
        kind,
        [labels.split_of(tasks.name), fewshot.run_of(file).folder],
        lambda: read(file, release.read(file), tasks, release.read(tasks)),
        beside=[tasks],
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

_READERS: dict[str, Callable[[Release, File], Source | None]] = {
    "passages": _passages,
    "self-edits": _self_edits,
    "entigraph": _entigraph,
    "query-server": _query_server,
    "cpt-v1": _cpt,
    "cpt-v2": _cpt,
    "continual": _continual,
    "sft": _sft,
    "arc-tasks": _arc_tasks,
    "few-shot-edits": _few_shot_edits,
    "few-shot-results": _few_shot_results,
}  # `arc-solutions` come with their tasks
