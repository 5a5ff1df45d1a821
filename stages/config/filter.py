"""Settings of `filter`."""

from dataclasses import dataclass

from stages.fields import Config, option

RULES = ("best-of-n", "improves", "top-k", "threshold", "sql")


@dataclass(frozen=True, kw_only=True)
class FilterConfig(Config):
    """Which self-edits the policy learns from (ReST-EM's E-step; the paper: best of 5)."""

    SECTION = "filter"

    rule: str = option("best-of-n", "which self-edits are kept", choices=RULES)
    query: str = option("", "for the rule sql: a file with one SELECT", elsewhere=True)
    keep: int = option(1, "self-edits kept per context (top-k)", minimum=1)
    threshold: float = option(0.5, "smallest reward kept (threshold)")
    margin: float = option(0.0, "gain over the baseline that must be exceeded (improves)")
    max_forget: float | None = option(
        None,
        "before any rule, drop self-edits whose adapter loses more points than this on the probe",
        minimum=0,
        maximum=100,
    )
