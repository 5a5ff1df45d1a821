"""Settings of `filter`."""

from dataclasses import dataclass

from stages.fields import Config, option

RULES = ("best-of-n", "improves", "top-k", "threshold", "sql")


@dataclass(frozen=True, kw_only=True)
class FilterConfig(Config):
    """Which self-edits the policy learns from (ReST-EM's E-step; the paper: best of 5)."""

    SECTION = "filter"

    rule: str = option("best-of-n", "Which self-edits are kept.", choices=RULES)
    query: str = option("", "For the rule sql: a file with one SELECT.", elsewhere=True)
    keep: int = option(1, "For top-k: self-edits kept per context.", minimum=1)
    threshold: float = option(0.5, "For threshold: smallest reward kept.")
    margin: float = option(0.0, "For improves: gain over the baseline that must be exceeded.")
    max_forget: float | None = option(
        None,
        "Before any rule, drop self-edits whose adapter loses more points than this on the probe.",
        minimum=0,
        maximum=100,
    )
