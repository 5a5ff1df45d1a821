"""The figure of `repeats.py`: runs saved against regret, as SVG."""

import io
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from seal_cli.reports.plots import GREY, INK, drawing, framed

if TYPE_CHECKING:
    from recorded import Replayed

_COLOURS = {"bounds": INK, "halving": "#c0702a"}


def curve(results: "Sequence[Replayed]") -> str:
    """A point per policy, with its interval over contexts; policies of one kind are joined."""
    with drawing() as plt:
        figure, axes = plt.subplots(figsize=(7.0, 3.6), layout="constrained")
        for kind, group in groupby(results, key=_kind):
            found = sorted(group, key=lambda result: result.saved)
            saved = [100 * result.saved for result in found]
            regret = [100 * result.regret for result in found]
            colour = _COLOURS.get(kind, GREY)
            axes.plot(saved, regret, "o-", color=colour, label=kind, markersize=5)
            for x, y, result in zip(saved, regret, found, strict=True):
                if result.regret_low is not None and result.regret_high is not None:
                    ends = [100 * result.regret_low, 100 * result.regret_high]
                    axes.plot([x, x], ends, color=colour, linewidth=1, alpha=0.5)
                axes.annotate(
                    result.policy.removeprefix(kind).strip(), (x, y), (4, 5),
                    textcoords="offset points", fontsize=8, color=colour,
                )  # fmt: skip
        axes.set_xlabel("runs saved, %")
        axes.set_ylabel("regret against all runs, points")
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.legend(frameon=False, fontsize=8)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
        plt.close(figure)
    return framed(stream.getvalue())


def _kind(result: "Replayed") -> str:
    """`bounds` and `halving` race; the others give everybody as many."""
    word = result.policy.split()[0]
    return word if word in _COLOURS else "as many for each"
