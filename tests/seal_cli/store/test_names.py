"""Names that stand wherever an id may stand."""

from typing import Any

import pytest
from small import Small


def test_a_name_stands_for_an_artifact(seal: Any, small: Small) -> None:
    ids = small.ids
    assert seal("tag", "best-1", ids["score"][:9]).id == ids["score"]
    assert seal("show", "best-1", "--json").out == seal("show", ids["score"], "--json").out
    assert seal("filter", "best-1").id == ids["filter"]
    assert seal("tag", "policy", ids["update"]).code == 0
    again = ["policy" if word == ids["update"] else word for word in small.commands["second"]]
    assert seal(*again).id == ids["second"]
    assert seal("tag").out == f"best-1\t{ids['score']}\npolicy\t{ids['update']}\n"
    seal("tag", "best-1", ids["generate"])
    assert small.store.resolve("best-1") == ids["generate"]
    assert seal("tag", "best-1", "--delete").code == 0
    assert seal("show", "best-1").code == 3
    assert seal("tag", "best-1", "--delete").code == 3


@pytest.mark.parametrize(
    "name",
    ["score", "score-12", "update-0123456789abcdef", "tiny", "..", "a/b", "@x", "é", ""],
)
def test_what_cannot_be_a_name(seal: Any, small: Small, name: str) -> None:
    result = seal("tag", name, small.ids["score"])
    assert result.code == 2
    taken = name.startswith(("score", "update", "tiny"))
    why = "reads as a stage, a model or" if taken else "has other characters than"
    assert why in " ".join(result.err.split())
    assert small.store.names.all() == []


def test_a_damaged_name_says_so(seal: Any, small: Small) -> None:
    seal("tag", "best", small.ids["score"])
    file = small.root / "names" / "best.json"
    file.write_text(file.read_text().replace(small.ids["score"], small.ids["generate"]))
    result = seal("show", "best")
    assert result.code == 3
    assert "`seal tag best ID`" in result.err
    assert seal("tag", "best", small.ids["score"]).code == 0
    assert seal("show", "best").code == 0
