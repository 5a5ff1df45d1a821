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
        "How grids are written for the student: a line of digits per row, or nested lists.",
        choices=GRIDS,
    )
    system_message: bool = option(
        False,
        "Put instruction and demonstrations into a system message, where there is a chat template.",
    )
    reorder: bool = option(
        False, "Also train on tasks with reordered demonstrations when no augmentation is chosen."
    )
    colours: str = option(
        "any",
        "What a permutation maps a colour to: any other, or one unused in the task while "
        "there are any.",
        choices=COLOURS,
    )
    own_first: bool = option(
        True,
        "Beyond max-sequences, keep the tasks of the demonstrations first; otherwise keep any.",
    )
