"""What goes, what stays because something needs it, and what is left of an artifact."""

import json
import os
from typing import Any

import pyarrow.parquet as pq
import pytest
from small import Small, flip

from seal_cli.store.files import read_sealed, write_sealed
from seal_cli.store.journal import Journal, locked


def test_rm_says_before_it_does(seal: Any, small: Small) -> None:
    said = seal("rm", small.ids["second"])
    assert said.out.startswith(f"artifacts/{small.ids['second']}\tasked for\t")
    assert small.path("second").is_dir()
    assert seal("rm", small.ids["second"], "--yes").code == 0
    assert not small.path("second").exists()
    (kept,) = (small.root / "trash").iterdir()
    assert kept.name.startswith(small.ids["second"])
    assert small.ids["second"] not in seal("ls").out
    assert seal("gc").out.startswith(f"trash/{kept.name}\ttrash")
    assert kept.is_dir()
    assert seal("gc", "--yes").code == 0
    assert not kept.exists()
    assert seal("gc").out == ""


def test_what_is_needed_stays(seal: Any, small: Small) -> None:
    ids = small.ids
    for one, says in (("score", f"{ids['filter']} was made from it"), ("update", ids["second"])):
        result = seal("rm", ids[one], "--yes")
        assert result.code == 2
        assert says in result.err
    seal("tag", "best", ids["second"])
    assert "it is called best" in seal("rm", ids["second"], "--yes").err
    seal("tag", "best", "--delete")
    Journal(small.store.work_path("eval-0123456789abcdef"), "eval-0123456789abcdef").begin(
        {"inputs": [ids["second"]], "before": None}
    )
    assert "unfinished eval-0123456789abcdef" in seal("rm", ids["second"], "--yes").err
    assert seal("rm", "eval-0123456789abcdef", "--yes").code == 0
    assert seal("rm", ids["update"], ids["second"], "--yes").code == 0  # both at once
    assert not small.path("update").exists()


def test_all_that_needs_it_is_named(seal: Any, small: Small) -> None:
    ids = small.ids
    for name in ("best", "other"):
        seal("tag", name, ids["score"])
    for begun in ("eval-0123456789abcdef", "filter-0123456789abcdef"):
        Journal(small.store.work_path(begun), begun).begin(
            {"inputs": [ids["score"]], "before": None}
        )
    said = " ".join(seal("rm", ids["score"], ids["update"], "--yes").err.split())
    assert (
        f"{ids['score']} stays: {ids['filter']} was made from it, "
        "the unfinished eval-0123456789abcdef needs it, "
        "the unfinished filter-0123456789abcdef needs it, "
        f"it is called best, it is called other. {ids['update']} stays: {ids['second']} was made"
    ) in said
    assert small.path("update").exists()


def test_what_is_in_use_stays(seal: Any, small: Small) -> None:
    with locked(small.store.lock_path(small.ids["second"]), wait=False):
        assert "stays" in seal("rm", small.ids["second"], "--yes").err
    assert small.path("second").is_dir()


def test_gc_sweeps_what_nothing_needs(seal: Any, small: Small) -> None:
    store = small.store
    (store.work / small.ids["score"]).mkdir()  # a run that was killed right after publishing
    unfinished = store.work / "score-0123456789abcdef"
    unfinished.mkdir()
    for shard in (f"{small.ids['score']}-s1of2", "score-0123456789abcdef-s1of2"):
        (store.shards / shard).mkdir(parents=True)
    for name, age in (("index.tmp", 7200), (".index.stamp.1.tmp", 7200), ("young.tmp", 0)):
        (store.root / name).write_text("x")
        moment = (store.root / name).stat().st_mtime - age
        os.utime(store.root / name, (moment, moment))
    cut = small.path("adapt") / "._removed.json.1.tmp"  # a gc that was killed
    cut.write_text("{")
    os.utime(cut, (0, 0))
    lines = sorted(line.split("\t")[0] for line in seal("gc").out.splitlines())
    assert lines == [
        ".index.stamp.1.tmp",
        f"artifacts/{small.ids['adapt']}/{cut.name}",
        "index.tmp",
        f"shards/{small.ids['score']}-s1of2",
        f"work/{small.ids['score']}",
    ]
    before = store.ids()
    assert seal("gc", "--yes").code == 0
    assert store.ids() == before
    assert seal("verify", "--all").code == 0
    assert unfinished.is_dir()
    assert (store.shards / "score-0123456789abcdef-s1of2").is_dir()
    assert sorted(p.name for p in store.root.glob("*.tmp")) == ["young.tmp"]


def test_gc_by_age_takes_leaves_first(seal: Any, small: Small) -> None:
    assert seal("gc", "--older-than", "1d").out == ""
    seal("tag", "best", small.ids["filter"])
    for stage in ("filter", "score", "update", "second"):
        manifest = read_sealed(small.path(stage) / "_manifest.json")
        small.reseal(stage, created_at=manifest["created_at"].replace("2026", "2020", 1))
    said = seal("gc", "--older-than", "52w")
    gone = [line.split("\t")[0] for line in said.out.splitlines()]
    assert gone == [f"artifacts/{small.ids[stage]}" for stage in ("second", "update")]
    assert seal("gc", "--older-than", "soon").code == 2


def test_the_best_adapters_keep_their_weights(seal: Any, small: Small) -> None:
    adapters, rewards = small.path("adapt"), small.path("score") / "part-00000.parquet"
    ranked = sorted(pq.read_table(rewards).to_pylist(), key=lambda r: -r["reward"])
    said = seal("gc", "--keep-top", 1, "--by", "reward", "--yes")
    assert "weights of 3 adapters" in said.out
    rows = pq.read_table(adapters / "part-00000.parquet").to_pylist()
    kept = [row for row in rows if (adapters / row["weights"]).is_dir()]
    assert [row["self_edit_id"] for row in kept] == [ranked[0]["self_edit_id"]]
    removed = read_sealed(adapters / "_removed.json")
    assert len(removed["files"]) == 6
    assert removed["removed_at"].startswith("20")
    entry = next(iter(removed["files"].values()))
    assert set(entry) == {"bytes", "sha256"}
    # Its tables stay valid, a rerun is a hit,
    assert seal("verify", "--all").code == 0
    assert seal("sql", "select count(*) as n from adapters", "-f", "csv").out == "n\n4\n"
    assert seal(*small.commands["adapt"]).id == small.ids["adapt"]
    assert seal(*small.commands["score"]).id == small.ids["score"]
    assert seal("gc", "--keep-top", 1).out.count("weights of") == 0
    # what needs the weights says how to make them again,
    result = seal("score", small.ids["adapt"], "--grader", "exact")
    assert result.code == 3
    assert "--force" in result.err
    # and they are made again, as a new attempt that is equal.
    again = seal(*small.commands["adapt"], "--force").id
    assert again != small.ids["adapt"]
    assert seal("score", again, "--grader", "exact").code == 0
    assert seal(*small.commands["adapt"]).id == again


def test_weights_stay_where_a_name_needs_them(seal: Any, small: Small) -> None:
    seal("tag", "mine", small.ids["adapt"])
    result = seal("gc", "--keep-top", 0)
    assert result.out == ""
    kept = f"{small.ids['adapt']} keeps the weights of 4 adapters"
    assert f"{kept}: it is called mine." in " ".join(result.err.split())
    seal("tag", "mine", "--delete")
    begun = "score-0123456789abcdef"
    Journal(small.store.work_path(begun), begun).begin({"inputs": [small.ids["adapt"]]})
    said = " ".join(seal("gc", "--keep-top", 0).err.split())
    assert f"{kept}: the unfinished {begun} needs it." in said
    seal("rm", begun, "--yes")
    seal("rm", *(small.ids[one] for one in ("score", "filter", "update", "second")), "--yes")
    assert f"{kept}: it was not scored." in " ".join(seal("gc", "--keep-top", 0).err.split())


def test_a_removed_list_that_is_damaged(seal: Any, small: Small) -> None:
    seal("gc", "--keep-top", 0, "--yes")
    flip(small.path("adapt") / "_removed.json")
    assert seal(*small.commands["adapt"]).code == 3
    result = seal("verify", "--all", "--json")
    (found,) = json.loads(result.out)["findings"]
    assert "_removed.json" in found["reason"]


@pytest.mark.parametrize("name", ["part-00000.parquet", "__weights/other"])
def test_a_removed_list_of_what_is_no_weights(seal: Any, small: Small, name: str) -> None:
    """It excuses no other file from being there."""
    entry = read_sealed(small.path("adapt") / "_manifest.json")["files"]["part-00000.parquet"]
    write_sealed(small.path("adapt") / "_removed.json", {"files": {name: entry}})
    (small.path("adapt") / "part-00000.parquet").unlink()
    result = seal(*small.commands["adapt"])
    assert result.code == 3
    assert "is none of its weights" in result.err


def test_trash_is_never_an_artifact(seal: Any, small: Small) -> None:
    seal("rm", small.ids["second"], "--yes")
    assert seal(*small.commands["second"]).id == small.ids["second"]
    assert seal("verify", "--all").code == 0


@pytest.mark.parametrize("reference", ["second", "../x", "score-0123456789abcdef"])
def test_what_is_not_there(seal: Any, small: Small, reference: str) -> None:
    assert seal("rm", reference, "--yes").code in (2, 3)
