"""Records to Parquet and back."""

import dataclasses
import typing

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seal_cli.store.schema import TABLES, arrow_schema, columns, from_table, to_table
from stages.errors import InputError
from stages.records import Context, Question, Record, Verdict

CONTRACT = {
    "contexts": "context_id ordinal domain split title text payload",
    "questions": "question_id context_id ordinal question answers origin",
    "self_edits": "self_edit_id context_id sample policy round prompt_name prompt completion status"
    " reason n_tokens seed",
    "adapters": "adapter_id self_edit_id student repeat seed status reason hyperparameters"
    " n_sequences n_tokens n_steps first_loss last_loss seconds weights",
    "answers": "answer_id context_id question_id student self_edit_id adapter_id repeat text"
    " n_tokens",
    "verdicts": "answer_id grader correct score reason",
    "rewards": "self_edit_id context_id sample policy round student grader baseline_accuracy"
    " adapted_accuracy adapted_std gain reward n_repeats n_questions status reason",
    "selections": "self_edit_id context_id rank rule kept reason",
    "policies": "policy name parent round path method selection",
    "metrics": "policy round dataset regime method step position metric value ci_low ci_high n",
}


def test_the_tables_have_the_columns_that_others_rely_on() -> None:
    assert [name for name in TABLES if name in CONTRACT] == list(CONTRACT)
    for table, names in CONTRACT.items():
        assert set(names.split()) <= set(arrow_schema(table).names), table
        assert "artifact_id" in arrow_schema(table).names


@pytest.mark.parametrize("record", TABLES.values(), ids=TABLES)
def test_rows_come_back_whatever_is_null(record: type[Record]) -> None:
    sample = {"str": "ü\n", "int": -(2**62), "float": 0.1, "bool": True, "tuple": ("a", "")}
    table = next(name for name, known in TABLES.items() if known is record)
    full, bare = {}, {}
    for name, (kind, nullable) in columns(table).items():
        hint = typing.get_type_hints(record)[name]
        literal = next((a for a in typing.get_args(hint) if isinstance(a, str)), None)
        full[name] = literal or sample[kind.__name__]
        bare[name] = None if nullable else full[name]
    if table == "rewards":
        full["status"], bare["status"] = "ok", "failed"
    rows = [record(**full), record(**bare)]
    assert from_table(record, to_table(table, rows, "x-1")) == rows
    assert {f.name for f in dataclasses.fields(record)} == set(full)


@given(st.text(st.characters(codec=None), max_size=50))
def test_any_text_can_be_stored(text: str) -> None:
    row = Context("c", 0, "knowledge", "train", text, text)
    (back,) = from_table(Context, to_table("contexts", [row], "x-1"))
    assert back.text == text.encode("utf-8", "replace").decode()


def test_a_missing_column_is_named() -> None:
    table = to_table("questions", [Question("q", "c", 0, "?", ("a",))], "x-1")
    with pytest.raises(InputError, match="column answers of questions"):
        from_table(Question, table.drop_columns(["answers"]))
    wrong = table.set_column(2, "ordinal", pa.array(["zero"]))
    with pytest.raises(InputError, match="column ordinal"):
        from_table(Question, wrong)


def test_a_column_that_came_later_takes_its_default() -> None:
    """Artifacts of a version that did not write it stay readable."""
    row = Question("q", "c", 0, "?", ("a",))
    old = to_table("questions", [row], "x-1").drop_columns(["origin", "source_file"])
    assert from_table(Question, old) == [row]


def test_a_grader_without_a_version_is_the_first() -> None:
    graders = ["offline", "offline-1", "offline-2", "judge:offline"]
    rows = [Verdict("a", "c", grader, True, 1.0, None) for grader in graders]
    back = from_table(Verdict, to_table("verdicts", rows, "x-1"))
    assert [row.grader for row in back] == ["offline-1", *graders[1:]]
