"""The settings of few-shot tasks alone."""

from dataclasses import dataclass

from stages.fields import Config, option

GRIDS = ("rows", "lists")
COLOURS = ("any", "unused")


@dataclass(frozen=True, kw_only=True)
class ArcConfig(Config):
    """Few-shot tasks: how they are written down, and what their training sets are made of.

    The defaults are the tool's own; `--preset paper-arc` has what the released code does.
    """

    SECTION = "arc"

    grids: str = option(
        "rows",
        "how grids are written for the student: digits, a line per row, or nested lists",
        choices=GRIDS,
    )
    system_message: bool = option(
        False,
        "put the instruction and the demonstrations into a system message, where there is a chat "
        "template",
    )
    reorder: bool = option(
        False, "without any augmentation, too, learn each task with its demonstrations reordered"
    )
    colours: str = option(
        "any",
        "what a permutation makes of a colour: any other one, or one that is unused in the task "
        "as long as there are such",
        choices=COLOURS,
    )
    own_first: bool = option(
        True,
        "of more than max-sequences, keep the tasks of the demonstrations themselves first; else "
        "keep any",
    )
