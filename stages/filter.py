"""filter: which self-edits the policy learns from (ReST-EM's E-step, paper §3.1 and Eq. 3).

A rule is a SQL query over the tables `rewards` and `self_edits`, run on an in-memory DuckDB with
nothing else in reach, on one thread (`stages.sandbox`): `rules/*.sql`, or the user's own. It
returns `self_edit_id` and, if it likes, `rank`, `kept` and `reason`; self-edits that it does not
return are not kept.

With `max_forget` the rule does not get to see self-edits that make the student forget more than
that: so the best of the others is kept, whatever the rule is.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.config import FilterConfig
from stages.errors import ConfigError, InputError
from stages.records import Reward, Selection
from stages.repeatable import check_repeatable
from stages.rewards import PROXY
from stages.sandbox import (
    MEMORY_LIMIT,
    SECONDS,
    close_off,
    confined,
    interrupted_after,
    spent,
)

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

SEMANTICS = 1
_RANKS = 2**63  # what a column of integers holds
_AT_ONCE = 10_000  # rows of a result as Python has them
RULES = Path(__file__).parent / "rules"


def filter(  # noqa: A001  # the stage's name in the paper's pipeline
    rewards: Iterable[Reward],
    *,
    tables: "Mapping[str, pa.Table]",
    query: str,
    config: FilterConfig,
) -> Iterator[Selection]:
    """One row per reward, in order: kept or not, and why.

    `tables` are what the query sees, `rewards` among them, each with the columns that it names and
    `self_edit_id`; `$keep`, `$threshold`, `$margin` and `$max_forget` are the config's. `rewards`
    are gone through up to three times.

    Raises:
        ConfigError: the query does not run, or does not return what it should; or it asks for gains
            of a proxy reward, which has none.
        InputError: there is a `max_forget`, and the rewards have no probe.

    """
    if config.rule == "improves" and any(reward.rule == PROXY.name for reward in rewards):
        raise ConfigError(
            "the proxy reward examines nobody: there is no gain to improve by.",
            "Choose another rule, such as best-of-n or threshold.",
        )
    forgetful = _forgetful(rewards, config.max_forget)
    verdicts = _run(query, tables, config, without=list(forgetful))
    for reward in rewards:
        rank, kept, reason = verdicts.get(
            reward.self_edit_id, (0, False, "not returned by the rule")
        )
        if reward.self_edit_id in forgetful:  # also where a query found it in another table
            rank, kept, reason = 0, False, forgetful[reward.self_edit_id]
        if reward.reward is None:
            kept, reason = False, f"{reward.status}: {reward.reason}"
        yield Selection(
            self_edit_id=reward.self_edit_id,
            context_id=reward.context_id,
            rank=rank,
            rule=config.rule,
            kept=kept,
            reason=reason,
            reward=reward.reward,
            weight=1.0 if kept else None,
        )


def _forgetful(rewards: Iterable[Reward], limit: float | None) -> dict[str, str]:
    """The usable self-edits that lose more than `limit` percentage points on the probe, and why."""
    if limit is None:
        return {}
    reasons, probed = {}, None
    for reward in rewards:
        if reward.status != "ok":
            continue
        probed = probed or reward.probe_baseline is not None
        if reward.probe_baseline is None or reward.probe_accuracy is None:
            reasons[reward.self_edit_id] = "what it makes the student forget is not known"
            continue
        lost = round(100 * (reward.probe_baseline - reward.probe_accuracy), 6)
        if lost > limit:
            reasons[reward.self_edit_id] = f"loses {lost:g} points on the probe, over {limit:g}"
    if probed is False:
        raise InputError(
            "--max-forget needs a probe, which these rewards do not have.",
            "Score the self-edits with --probe CONTEXTS.",
        )
    return reasons


def rule_text(config: FilterConfig) -> str:
    """The SQL of a shipped rule, or of the user's file for `sql`. Raises ConfigError."""
    if (config.rule == "sql") != bool(config.query):
        raise ConfigError("--rule sql and --query FILE go together.", "Give both or neither.")
    path = Path(config.query) if config.query else RULES / f"{config.rule}.sql"
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.", "Give a UTF-8 file.") from error


def _run(
    query: str, tables: "Mapping[str, pa.Table]", config: FilterConfig, without: list[str]
) -> dict[str, tuple[int, bool, str]]:
    """self_edit_id -> (rank, kept, reason) as the query has it, which sees no reward `without`."""
    import duckdb
    import pyarrow as pa
    import pyarrow.compute as pc

    in_order = {"memory_limit": MEMORY_LIMIT, "threads": "1", "preserve_insertion_order": "true"}
    with confined(SECONDS), duckdb.connect(":memory:", config={**in_order}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        try:
            check_repeatable(connection, query)
            for name, table in tables.items():
                connection.register("incoming", table)
                connection.execute(f'CREATE TABLE "{name}" AS SELECT * FROM incoming')
                connection.unregister("incoming")
            if without:
                connection.execute(
                    "DELETE FROM rewards WHERE self_edit_id IN (SELECT unnest(?))", [without]
                )
            close_off(connection)
            with interrupted_after(connection, SECONDS):
                rows = _fetch(connection, query, config, most=tables["rewards"].num_rows + 1)
                verdicts = _verdicts(rows)
        except duckdb.Error as error:
            raise spent(str(error), SECONDS) or ConfigError(
                f"the rule does not run: {error}", "Tables: " + ", ".join(tables) + "."
            ) from error
    known = tables["rewards"].column("self_edit_id")
    if not pc.all(pc.is_in(pa.array(verdicts, pa.string()), value_set=known), min_count=0).as_py():
        raise ConfigError(
            "the rule returned self_edit_ids that are not in the rewards.",
            "Return self_edit_id from the rewards table.",
        )
    return verdicts


def _verdicts(rows: Iterable[Mapping[str, Any]]) -> dict[str, tuple[int, bool, str]]:
    """By self_edit_id; equal ones are one object."""
    verdicts: dict[str, tuple[int, bool, str]] = {}
    same: dict[tuple[int, bool, str], tuple[int, bool, str]] = {}
    for place, row in enumerate(rows, 1):
        edit_id, verdict = _verdict(row, place)
        if edit_id in verdicts:
            raise ConfigError(f"the rule returns {edit_id} twice.", "Make self_edit_id unique.")
        verdicts[edit_id] = same.setdefault(verdict, verdict)
    return verdicts


def _verdict(row: Mapping[str, Any], place: int) -> tuple[str, tuple[int, bool, str]]:
    """One row of a rule's result; `rank`, `kept` and `reason` are optional."""
    edit_id, rank, kept = row["self_edit_id"], row.get("rank", place), row.get("kept", True)
    kept = False if kept is None else kept  # SQL's "unknown" is no yes
    countable = isinstance(rank, int) and -_RANKS <= rank < _RANKS
    if not (isinstance(edit_id, str) and countable and isinstance(kept, bool)):
        raise ConfigError(
            f"the rule returns self_edit_id {edit_id!r}, rank {rank!r}, kept {kept!r}.",
            "They must be a text, an integer of 64 bits and a boolean.",
        )
    reason = row.get("reason") or ("returned by the rule" if kept else "not kept by the rule")
    return edit_id, (rank, kept, str(reason))


def _fetch(
    connection: "duckdb.DuckDBPyConnection", query: str, config: FilterConfig, most: int
) -> Iterator[dict[str, Any]]:
    """The first rows of one query, given those of our parameters that it names."""
    parameters = ("keep", "threshold", "margin", "max_forget")
    values = {name: getattr(config, name) for name in parameters}
    (statement,) = connection.extract_statements(query)
    wanted = {name: values[name] for name in statement.named_parameters if name in values}
    result = connection.execute(statement, wanted)
    names = [column[0] for column in result.description or ()]
    if "self_edit_id" not in names:
        raise ConfigError("the rule returns no self_edit_id.", "Add the column to its SELECT.")
    while most > 0 and (rows := result.fetchmany(min(most, _AT_ONCE))):
        most -= len(rows)
        yield from (dict(zip(names, row, strict=True)) for row in rows)
