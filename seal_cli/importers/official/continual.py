"""`results/continual_self_edits/**`: accuracy on each passage after each further self-edit.

The files have matrices of means over sequences and nothing they could be recomputed from. Row 0 is
before any edit; after r edits only the first r passages were asked, the rest of the row is 0.0 in
the files and null here. One file has the means of all others: its dataset is `… (overall)`, so that
a mean over the rows of a dataset counts no sequence twice.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from seal_cli.importers.official import labels, schemas
from seal_cli.importers.official.release import File, pointer
from stages.records import Metric, Policy


def dataset(
    file: File, data: schemas.ContinualRun, found: Iterable[tuple[File, schemas.ContinualRun]]
) -> str:
    """What its rows call the dataset, of all the files that were found.

    A file is the overall one when it has as many sequences as at least two others have together.
    """
    runs = {other.sha256: run for other, run in found}
    about = (data.dataset, data.base_model, data.n_datapoints)
    others = [
        run.n_sequences
        for sha256, run in runs.items()  # by content: both layouts may be at hand
        if sha256 != file.sha256 and (run.dataset, run.base_model, run.n_datapoints) == about
    ]
    name = labels.stem_of(data.dataset)
    return f"{name} (overall)" if others[1:] and sum(others) == data.n_sequences else name


def rows(file: File, data: schemas.ContinualRun, dataset: str) -> Iterator[Metric | Policy]:
    """One metric per cell and matrix: `step` edits so far, `position` of the passage from 1."""
    about = writer(file, data)
    yield from (replace(row, **file.at("")) for row in about.rows)
    for metric, name in (
        ("accuracy", "mean_over_sequences"),
        ("accuracy_std", "std_over_sequences"),
    ):
        matrix: schemas.Matrix = getattr(data, name)
        for step, row in enumerate(matrix):
            for position, value in enumerate(row, 1):
                yield Metric(
                    policy=about.policy,
                    round=about.round,
                    dataset=dataset,
                    regime="continual",
                    method="unadapted" if step == 0 else "self-edits",
                    step=step,
                    position=position,
                    metric=metric,
                    value=value if step == 0 or position <= step else None,
                    ci_low=None,
                    ci_high=None,
                    n=data.n_sequences,
                    n_questions=None,
                    n_failed=None,
                    basis="recorded",
                    grader=labels.JUDGE,
                    generator=about.title if step else None,
                    prompt_name=labels.PLAIN if step else None,
                    **file.at(pointer(name, step, position - 1)),
                )


def writer(file: File, data: schemas.ContinualRun) -> labels.Writer:
    """The model that wrote the self-edits and took them."""
    return labels.writer(data.base_model, labels.PLAIN, file.inside)
