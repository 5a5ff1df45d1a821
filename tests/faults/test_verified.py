"""Content is proven against its digest before it is used, and what is bad harms nothing else."""

import copy
import json
import math
import shutil
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small import Small, flip

from seal_cli.store.files import MANIFEST, Damaged, seal_of, sealed, unsealed
from seal_cli.store.manifest import checked

N_CONTEXTS = "select count(*) as n from contexts", "-f", "csv"


def test_a_flipped_bit_in_a_policy(seal: Any, small: Small) -> None:
    (weights,) = small.path("update").rglob("*.safetensors")
    flip(weights)
    for command in (
        small.commands["second"],  # published before: a hit, were the weights not read for its id
        ["generate", small.ids["import"], "--policy", small.ids["update"], "--samples", 1],
        ["eval", small.ids["update"], small.ids["import"], "--engine", "scripted"],
    ):
        result = seal(*command)
        assert result.code == 3, result.err
        assert "model.safetensors is missing or damaged: its sha256" in result.err
        assert result.out == ""


def test_a_flipped_bit_in_an_adapter(seal: Any, small: Small) -> None:
    flip(next(small.path("adapt").rglob("*.safetensors")))
    result = seal("score", small.ids["adapt"], "--grader", "exact")
    assert result.code == 3, result.err
    assert "adapter_model.safetensors is missing or damaged: its sha256" in result.err


def test_a_flipped_bit_in_a_table(seal: Any, small: Small) -> None:
    """Every page of a Parquet file, though DuckDB verifies no checksum."""
    file, other = small.path("generate") / "part-00000.parquet", small.ids["second"]
    query = "select distinct artifact_id from self_edits order by 1"
    assert seal("sql", query, "-f", "csv").out.split()[1:] == sorted([small.ids["generate"], other])
    for bit in range(0, file.stat().st_size * 8, 1999):
        flip(file, bit)
        found = seal("sql", query, "-f", "csv")
        assert (found.code, found.out.split()[1:]) == (3, [other])
        assert found.err.count("its sha256 is not the manifest's. It is left out.") == 1
        flip(file, bit)
    assert seal("sql", "from self_edits", "-f", "csv").code == 0


def test_a_damaged_table_is_named_once_and_left_out(seal: Any, small: Small) -> None:
    """As an unreadable manifest is; what is about the artifact itself ends with 3."""
    flip(small.path("score") / "part-00000.parquet")
    for command, left, code in (
        (["sql", "select count(*) as n from rewards", "-f", "csv"], "n\n0\n", 3),
        (["sql", *N_CONTEXTS], "n\n2\n", 0),  # not about it
        (["report", "reward-noise", "cost"], "filter", 3),
        (["report", "--format", "html", "--output", "page.html"], "", 3),
    ):
        result = seal(*command)
        assert result.code == code, result.err
        assert left in result.out
        assert result.err.count(f"{small.ids['score']} is not whole") == 1
        assert result.err.count("It is left out") == 1
    listed = seal("ls")  # reads no table
    assert listed.code == 0
    assert small.ids["score"] in listed.out
    result = seal(*small.commands["score"])
    assert (result.code, result.out) == (3, "")
    assert "is there already" not in result.err
    assert "left out" not in result.err
    assert seal("filter", small.ids["score"], "--rule", "top-k").code == 3


def test_a_manifest_alone_is_no_hit(seal: Any, small: Small) -> None:
    for path in sorted(small.path("score").rglob("*"), reverse=True):
        if path.is_dir():
            path.rmdir()
        elif path.name != MANIFEST:
            path.unlink()
    result = seal(*small.commands["score"])
    assert (result.code, result.out) == (3, "")
    assert "seal rm" in result.err


def test_a_wrong_digest_in_the_cache_is_not_believed(seal: Any, small: Small) -> None:
    hit = small.commands["generate"]
    first = seal(*hit).id
    cache = small.root / "digests.txt"
    lines = cache.read_text().splitlines()
    wrong = [" ".join([check, "0" * 64, stamp]) for check, _, stamp in map(str.split, lines)]
    cache.write_text("\n".join(wrong) + "\n")
    assert seal(*hit).id == first
    assert seal("sql", *N_CONTEXTS).out == "n\n2\n"


def test_a_file_name_that_leads_outside(seal: Any, small: Small) -> None:
    manifest = json.loads((small.path("score") / MANIFEST).read_text())
    entry = manifest["files"].pop("part-00000.parquet")
    shutil.copy(small.path("score") / "part-00000.parquet", small.root / "x.parquet")
    for name in ("part-x/../../../x.parquet", "/x.parquet", "../x", "", "a//b", "part-\n"):
        small.reseal("score", files={**manifest["files"], name: entry})
        result = seal("filter", small.ids["score"])
        assert result.code == 3
        assert "no name of a file in an artifact" in result.err


def test_a_foreign_manifest_asks_no_hub(
    seal: Any, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name that a manifest gives a model is not looked up anywhere."""
    import huggingface_hub

    asked: list[str] = []
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda name, **how: asked.append(how) or "/nowhere"
    )
    manifest = json.loads((small.path("generate") / MANIFEST).read_text())
    (model,) = manifest["models"]
    small.reseal("generate", models={model: {"name": "some/where", "path": "/nowhere"}})
    result = seal("adapt", small.ids["generate"], "--rank", 3)
    assert result.code in (2, 3), result.err
    assert asked
    assert all(how["local_files_only"] for how in asked)  # type: ignore[index]


BAD: list[dict[str, Any]] = [
    {"created_at": None},
    {"created_at": -1},
    {"created_at": "yesterday"},
    {"tables": None},
    {"tables": {}},
    {"tables": {"rewards": {"rows": -1, "status": {}}}},
    {"files": []},
    {"files": {"part-00000.parquet": {"bytes": 10**400, "sha256": "0" * 64}}},
    {"seconds": "long"},
    {"seconds": math.inf},
    {"kind": 3},
    {"kind": "rewards; drop"},
    {"inputs": {"artifact_id": "x"}},
    {"inputs": [{"artifact_id": "../..", "kind": "contexts", "manifest_sha256": "0" * 64}]},
    {"about": {"domain": 3}},
    {"models": {"model": "path"}},
    {"config": []},
    {"argv": [1]},
    {"format": 99},
    {"artifact_id": "score-0123456789abcdef"},
]


@pytest.mark.parametrize("change", BAD, ids=str)
def test_a_bad_manifest_is_named_once_and_left_out(
    seal: Any, small: Small, change: dict[str, Any]
) -> None:
    file = small.path("filter") / MANIFEST
    content = unsealed(file.read_bytes()) | change
    seal_ = "0" * 64 if change.get("seconds") == math.inf else seal_of(content)
    file.write_text(json.dumps({**content, "sha256": seal_}))
    for command in (["ls", "--json"], ["sql", *N_CONTEXTS]):
        result = seal(*command)
        assert result.code == 0, result.err
        assert result.err.count(small.ids["filter"]) in (1, 2)  # and once in its advice
        assert result.err.count("left out") == 1
    assert f'{{"artifact_id": "{small.ids["filter"]}"' not in seal("ls", "--json").out
    assert seal("show", small.ids["filter"]).code == 3
    assert seal(*small.commands["filter"]).code == 3


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"[" * 100_000, b'{"sha256": 1}', b"null", b"{}", b"1" * 5000]
)
def test_a_manifest_that_is_no_manifest(seal: Any, small: Small, content: bytes) -> None:
    (small.path("filter") / MANIFEST).write_bytes(content)
    assert seal("ls").code == 0
    assert seal("sql", *N_CONTEXTS).out == "n\n2\n"


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"{}", b"\x00" * 100])
def test_a_stamp_of_any_bytes(seal: Any, small: Small, content: bytes) -> None:
    (small.root / "index.stamp").write_bytes(content)
    assert seal("sql", *N_CONTEXTS).out == "n\n2\n"
    assert unsealed((small.root / "index.stamp").read_bytes())["root"] == str(small.root)


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


MANY = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


@MANY
@given(data=st.data())
def test_whatever_a_manifest_holds_it_is_taken_or_refused(made: Small, data: st.DataObject) -> None:
    one_manifest(made, data)


@pytest.mark.soak
@settings(MANY, max_examples=10_000)
@given(data=st.data())
def test_whatever_ten_thousand_manifests_hold(made: Small, data: st.DataObject) -> None:
    one_manifest(made, data)


def one_manifest(made: Small, data: st.DataObject) -> None:
    """One place of a real manifest with any JSON in it: Damaged, or what is used of it is sane."""
    manifest = unsealed((made.path("score") / MANIFEST).read_bytes())
    changed = copy.deepcopy(manifest)
    parent, place = changed, data.draw(st.sampled_from(sorted(changed)))
    while isinstance(parent[place], dict) and parent[place] and data.draw(st.booleans()):
        parent, place = parent[place], data.draw(st.sampled_from(sorted(parent[place])))
    parent[place] = data.draw(_JSON)
    try:
        found = checked(unsealed(sealed(changed)))
    except Damaged:
        return
    assert isinstance(found["tables"][found["kind"]]["rows"], int)
    assert all(".." not in name.split("/") for name in found["files"])
