"""The plots of the reports, as SVG. Each takes the rows of its report; drawn with matplotlib."""

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from seal_cli import console
from stages.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = dict[str, Any]
INK = "#1f6f54"
GREY = "#888888"
LABEL = 60  # characters of a label


def svg(name: str, rows: Sequence[Row]) -> str | None:
    """A report's plot as an `<svg>` element, or None. Raises ConfigError without matplotlib."""
    if name not in _PLOTS or not rows:
        return None
    with drawing() as plt:
        figure = _PLOTS[name](plt, rows)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
        plt.close(figure)
    return framed(stream.getvalue())


@contextmanager
def drawing() -> Iterator[Any]:
    """Draw without a screen; text stays text, and the same rows give the same bytes."""
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise ConfigError(
            "plots need matplotlib, which is not installed.", "pip install 'seal-adapt[plot]'"
        ) from error
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "seal",
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "text.parse_math": False,  # a title with a dollar sign is no formula
    }
    with mpl.rc_context(style):
        yield plt


def framed(text: str) -> str:
    """Only the element, as wide as its place allows."""
    element = text[text.index("<svg") :]
    width = re.search(r'width="([\d.]+)pt"', element)
    element = re.sub(r' (width|height)="[\d.]+pt"', "", element, count=2)
    limit = f"{float(width[1]) * 4 / 3:.0f}px" if width else "100%"
    return element.replace("<svg", f'<svg style="width:100%;max-width:{limit}"', 1)


def _text(*parts: Any) -> str:
    """A label from parts of rows; what is not there is left out."""
    label = " · ".join(console.safe(str(part)) for part in parts if part not in (None, ""))
    return label if len(label) <= LABEL else label[: LABEL - 1] + "…"


def _groups(rows: Sequence[Row], *keys: str) -> dict[tuple[Any, ...], list[Row]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return groups


def _panels(plt: Any, heights: Sequence[float], width: float = 7.0) -> "tuple[Figure, list[Axes]]":
    """One panel below the other, with room for as many lines as each has."""
    figure, axes = plt.subplots(
        len(heights),
        1,
        figsize=(width, sum(heights)),
        height_ratios=heights,
        squeeze=False,
        sharex=True,
        layout="constrained",
    )
    return figure, list(axes[:, 0])


def _legend(axes: "Axes") -> None:
    """To the right of the panel, where it hides nothing."""
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0))


def _intervals(axes: "Axes", labels: Sequence[str], rows: Sequence[Row], value: str) -> None:
    """A dot with its interval per row, from top to bottom."""
    places = range(len(rows))
    axes.set_yticks(list(places), labels)
    for place, row in zip(places, rows, strict=True):
        if row["low"] is not None:
            axes.plot([row["low"], row["high"]], [place, place], color=INK, linewidth=1.5)
        axes.plot([row[value]], [place], "o", color=INK, markersize=5)
        axes.annotate(
            f"{row[value]:.3f}", (row[value], place), (0, 6), textcoords="offset points",
            ha="center", fontsize=8,
        )  # fmt: skip
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_ylim(len(rows) - 0.5, -0.7)


def _methods(plt: Any, rows: Sequence[Row]) -> "Figure":
    """paper-table2: a panel per set of questions."""
    groups = _groups(rows, "regime", "training", "dataset", "questions", "grader")
    figure, panels = _panels(plt, [0.9 + 0.36 * len(group) for group in groups.values()])
    for axes, (key, group) in zip(panels, groups.items(), strict=True):
        labels = [_text(r["method"], r["model"], _other(r["generator"], r["model"])) for r in group]
        _intervals(axes, labels, group, "accuracy")
        regime, training, dataset, questions, grader = key
        title = _text(regime, training, dataset, f"{questions} questions", grader)
        axes.set_title(title, loc="left")
    panels[-1].set_xlabel("accuracy without the passage in view, 95 % interval")
    return figure


def _other(name: str, model: str) -> str | None:
    """Who wrote what a model was adapted to, where that was not the model itself."""
    return None if name in ("none", model) else f"by {name}"


def _prompts(plt: Any, rows: Sequence[Row]) -> "Figure":
    groups = _groups(rows, "dataset", "base", "grader")
    figure, panels = _panels(plt, [0.9 + 0.36 * len(group) for group in groups.values()])
    for axes, (key, group) in zip(panels, groups.items(), strict=True):
        _intervals(axes, [_text(r["prompt"], r["writer"]) for r in group], group, "accuracy")
        axes.set_title(_text(*key), loc="left")
    panels[-1].set_xlabel("accuracy without the passage in view, 95 % interval")
    return figure


def _rounds(plt: Any, rows: Sequence[Row]) -> "Figure":
    """A line per model over the rounds, over what it knew without self-edits."""
    groups = _groups(rows, "dataset", "grader")
    figure, panels = _panels(plt, [2.8] * len(groups), width=8.0)
    for axes, (key, group) in zip(panels, groups.items(), strict=True):
        lines = _groups(group, "method", "model", "student", "prompt")
        for (method, *about), line in lines.items():
            _line_of_rounds(axes, method, _text(method, *about), line)
        axes.set_title(_text(*key), loc="left")
        axes.set(ylim=(0, 1), ylabel="accuracy")
        axes.set_xticks(sorted({row["round"] for row in group}))
        axes.margins(x=0.2)
        _legend(axes)
    panels[-1].set_xlabel("round of RL")
    return figure


def _line_of_rounds(axes: "Axes", method: str, label: str, line: Sequence[Row]) -> None:
    if method != "self-edits":
        style = "dotted" if method in ("unadapted", "in-context") else "dashed"
        axes.axhline(line[0]["accuracy"], color=GREY, linestyle=style, linewidth=1, label=label)
        return
    values = [row["accuracy"] for row in line]
    below = [0.0 if row["low"] is None else row["accuracy"] - row["low"] for row in line]
    above = [0.0 if row["high"] is None else row["high"] - row["accuracy"] for row in line]
    rounds = [row["round"] for row in line]
    axes.errorbar(rounds, values, [below, above], marker="o", capsize=4, label=label)


def _tools(plt: Any, rows: Sequence[Row]) -> "Figure":
    """A panel per choice: the share of each value over the rounds."""
    groups = _groups(rows, "choice")
    figure, panels = _panels(plt, [1.7] * len(groups))
    for axes, ((choice,), group) in zip(panels, groups.items(), strict=True):
        for (chosen,), line in _groups(group, "chosen").items():
            axes.plot([r["round"] for r in line], [r["share"] for r in line], "o-", label=chosen)
        axes.set_title(_text(choice), loc="left")
        axes.set(ylim=(-0.05, 1.05), ylabel="share")
        axes.set_xticks(sorted({row["round"] for row in group}))
        _legend(axes)
    panels[-1].set_xlabel("round of RL that wrote them")
    return figure


def _retention(plt: Any, rows: Sequence[Row]) -> "Figure":
    """A heat map per evaluation: steps downwards, passages to the right."""
    groups = _groups(rows, "model", "prompt", "method", "dataset", "grader", "evaluation")
    positions = sorted((key for key in rows[0] if key.isdigit()), key=int)
    figure, panels = _panels(plt, [0.8 + 0.36 * len(g) for g in groups.values()], width=6.0)
    for axes, (key, group) in zip(panels, groups.items(), strict=True):
        cells = [[row[p] for p in positions] for row in group]
        _heat(axes, cells, [str(row["step"]) for row in group], positions)
        axes.set_ylabel("self-edits so far")
        axes.set_title(_text(*key[:3], f"{group[0]['sequences']} sequences"), loc="left")
    panels[-1].set_xlabel("passage, by the place of its edit")
    return figure


def _transfer(plt: Any, rows: Sequence[Row]) -> "Figure":
    """A heat map per prompt: writers downwards, students to the right."""
    groups = _groups(rows, "prompt", "dataset", "grader")
    students = list(dict.fromkeys(row["student"] for row in rows))
    tall = [0.9 + 0.36 * len(_groups(group, "writer")) for group in groups.values()]
    figure, panels = _panels(plt, tall, width=3.0 + 1.2 * len(students))
    for axes, (key, group) in zip(panels, groups.items(), strict=True):
        writers = list(dict.fromkeys(row["writer"] for row in group))
        found = {(row["writer"], row["student"]): row["accuracy"] for row in group}
        cells = [[found.get((w, s)) for s in students] for w in writers]
        _heat(axes, cells, [_text(w) for w in writers], [_text(s) for s in students])
        axes.set_ylabel("writer")
        axes.set_title(_text(*key), loc="left")
    panels[-1].set_xlabel("student")
    return figure


def _heat(
    axes: "Axes", cells: Sequence[Sequence[float | None]], down: list[str], across: list[str]
) -> None:
    """Accuracies as colours and numbers; what is not there stays empty."""
    nothing = float("nan")
    # A mesh, not an image: the page stays free of anything but lines and shapes.
    mesh = axes.pcolormesh(
        [[nothing if cell is None else cell for cell in line] for line in cells],
        cmap="viridis", vmin=0,
    )  # fmt: skip
    axes.invert_yaxis()
    brightest = max((cell for line in cells for cell in line if cell is not None), default=0)
    for i, line in enumerate(cells):
        for j, cell in enumerate(line):
            if cell is not None:
                color = "black" if cell > 0.7 * brightest else "white"
                axes.text(
                    j + 0.5, i + 0.5, f"{cell:.2f}", ha="center", va="center", color=color, size=8
                )
    axes.set_xticks([j + 0.5 for j in range(len(across))], across)
    axes.set_yticks([i + 0.5 for i in range(len(down))], down)
    axes.spines[:].set_visible(False)
    bar = axes.figure.colorbar(mesh, ax=axes, label="accuracy")
    assert bar.solids is not None  # it was just drawn
    bar.solids.set_rasterized(False)


def _noise(plt: Any, rows: Sequence[Row]) -> "Figure":
    """What a best-of-n choice looks like and what it is worth."""
    figure, (axes,) = _panels(plt, [1.2 + 0.4 * len(rows)], width=8.0)
    marks = (
        ("random", "any", "s", GREY),
        ("true_reward", "chosen, on the repeat left out", "o", INK),
        ("apparent", "chosen, as it seemed", "o", "#c0702a"),
        ("best", "best by all repeats", "^", GREY),
    )
    for column, label, marker, color in marks:
        found = [(row[column], i) for i, row in enumerate(rows) if row[column] is not None]
        axes.plot([x for x, _ in found], [y for _, y in found], marker, color=color, label=label)
    labels = [_text(r["prompt"], r["writer"], f"round {r['round']}", r["grader"]) for r in rows]
    axes.set_yticks(range(len(rows)), labels)
    axes.invert_yaxis()
    axes.margins(y=0.4)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_xlabel("mean reward over contexts")
    _legend(axes)
    return figure


def _bars(
    *columns: str, label: Callable[[Row], str], x: str
) -> Callable[[Any, Sequence[Row]], Any]:
    """Horizontal bars of one or more columns per row."""

    def draw(plt: Any, rows: Sequence[Row]) -> "Figure":
        figure, (axes,) = _panels(plt, [0.9 + 0.3 * len(rows)], width=8.0)
        thick = 0.8 / len(columns)
        for i, column in enumerate(columns):
            places = [place + (i - (len(columns) - 1) / 2) * thick for place in range(len(rows))]
            axes.barh(places, [row[column] or 0 for row in rows], thick, label=column)
        axes.set_yticks(range(len(rows)), [label(row) for row in rows])
        axes.invert_yaxis()
        axes.set_xlabel(x)
        if len(columns) > 1:
            _legend(axes)
        return figure

    return draw


_PLOTS: dict[str, Callable[[Any, Sequence[Row]], Any]] = {
    "paper-table2": _methods,
    "prompt-ablation": _prompts,
    "transfer": _transfer,
    "rounds": _rounds,
    "tools": _tools,
    "continual": _retention,
    "reward-noise": _noise,
    "empty-answers": _bars(
        "empty",
        "accuracy",
        label=lambda row: _text(row["method"], row["model"], row["prompt"], row["dataset"]),
        x="share of answers",
    ),
    "grader-agreement": _bars(
        "agreement",
        "kappa",
        label=lambda row: _text(row["grader"], row["method"], row["model"], row["prompt"]),
        x="agreement and Cohen's kappa",
    ),
    "cost": _bars("seconds", label=lambda row: _text(row["stage"], row["host"]), x="seconds"),
}
