"""Tables for people: no number is split at any width, and nothing is left out in silence."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.table import Table

from seal_cli import tables

WIDTHS = (80, 100, 200)
VALUES = (
    st.none() | st.text("abc de-f_", max_size=60),
    st.none() | st.floats(-2, 2, allow_nan=False),
    st.none() | st.integers(-(10**6), 10**6),
    st.sampled_from(["gpt-4.1", "offline-2", None]),
)


@st.composite
def made_up(draw: st.DrawFn) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Names and rows of a table of up to 24 columns."""
    kinds = draw(st.lists(st.sampled_from(range(len(VALUES))), min_size=1, max_size=24))
    names = [f"{'value_of_' * (kind % 2)}c{i}" for i, kind in enumerate(kinds)]
    n = draw(st.integers(0, 12))
    columns = [draw(st.lists(VALUES[kind], min_size=n, max_size=n)) for kind in kinds]
    return names, list(zip(*columns, strict=True)) if n else []


def printed(parts: Any, width: int) -> tuple[str, list[Table]]:
    """What stands on the screen, and the tables in it."""
    from rich.console import Console

    console, found = Console(width=width, markup=False, highlight=False), []
    with console.capture() as capture:
        for part in parts:
            console.print(part)
            found += [part] if isinstance(part, Table) else []
    return capture.get(), found


@settings(max_examples=150, deadline=None)
@given(made_up(), st.sampled_from(WIDTHS))
def test_every_value_is_shown_whole_or_its_column_is_named(made: Any, width: int) -> None:
    names, rows = made
    text, _ = printed(tables.layout(names, rows, width), width)
    assert all(len(line) <= width for line in text.splitlines())
    flat = "".join(text.split())
    for name, column in zip(names, zip(*rows, strict=True), strict=False):
        numbers = [v for v in column if v is not None and not isinstance(v, str)]
        whole = (
            any(tables._cell(v, places).lstrip() in text for places in range(5)) for v in numbers
        )
        left_out = "Leftoutatthiswidth:" in flat and name in flat.split("Leftoutatthiswidth:")[1]
        assert left_out or all(whole), name


@pytest.mark.parametrize("width", WIDTHS)
def test_numbers_and_their_heads_are_never_folded(width: int) -> None:
    names = ["method", "gain_since_0", *(f"x{i}" for i in range(12))]
    rows = [("self-edits and more words", 0.4033 + i, *range(12)) for i in range(4)]
    text, _ = printed(tables.layout(names, rows, width), width)
    for i in range(4):
        assert any(str(round(0.4033 + i, 3)) in line for line in text.splitlines())


def test_what_is_the_same_on_every_line_is_said_once() -> None:
    rows = [("a", "gpt-4.1", None, 1.5), ("b", "gpt-4.1", None, 2.5)]
    caption, table = tables.layout(["who", "grader", "empty", "value"], rows, 80)
    assert caption == "On every line: grader gpt-4.1."
    assert [column.header for column in table.columns] == ["who", "value"]  # type: ignore[union-attr]


def test_columns_that_repeat_become_headings_where_the_width_is_not_enough() -> None:
    rows = [(f"a long name of a dataset {i // 3}", f"method-{i % 3}", i / 7) for i in range(6)]
    names = ["dataset", "method", "accuracy"]
    assert len(list(tables.layout(names, rows, 80))) == 1
    text, found = printed(tables.layout(names, rows, 40), 40)
    assert len(found) == 2
    assert text.startswith("dataset a long name of a dataset 0:\n")


def test_what_is_left_out_is_said() -> None:
    rows = [tuple(1000.123 + i + j for j in range(14)) for i in range(5)]
    *_, last = tables.layout([f"column_{i}" for i in range(14)], rows, 80)
    assert isinstance(last, str)
    assert last.startswith("Left out at this width: column_")
    assert "csv" in last


def test_few_rows_are_shown_a_line_a_field() -> None:
    rows = [tuple(1000.123 + j for j in range(14))]
    text, _ = printed(tables.layout([f"column_{i}" for i in range(14)], rows, 40), 40)
    assert text.count("column_") == 14
    assert "Left out" not in text


def test_a_query_keeps_all_of_its_columns() -> None:
    rows = [("same", None, *["x" * 70] * 3, i) for i in range(2)]
    names = ["a", "b", "c", "d", "e", "f"]
    text, _ = printed(tables.every_column(names, rows, 80), 80)
    assert all(text.count(f"\n{name} ") == 2 for name in names)  # a block a row
    text, found = printed(tables.every_column(names, rows, 300), 300)
    assert len(found) == 1


def test_names_as_long_as_the_line_are_wrapped() -> None:
    names = [
        "avg(CASE WHEN ((status = 'ok')) THEN (reward) ELSE (NULL) END) OVER ()" + "x" * 20
    ] * 3
    text, _ = printed(tables.every_column(names, [(0.5, "a" * 90, 2)], 60), 60)
    assert "0.5" in text
    for width in (10, 20):
        printed(tables.layout(["a", "b"], [("x", "y")] * 4, width), width)


def test_lists_are_values_like_others() -> None:
    rows = [
        (f"line {i}", [f"gold {i}"] if i else None, *(i / 7 for _ in range(8))) for i in range(5)
    ]
    names = ["a", "b", *(f"column_{i}" for i in range(8))]
    text, _ = printed(tables.layout(names, rows, 60), 60)
    assert "line 4" in text
