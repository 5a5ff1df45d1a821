"""Keys hold what decides the rows, and nothing else."""

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from seal_cli.store.identity import artifact_id, content_digest, model_digest
from stages.errors import ConfigError


def test_key_order_does_not_matter_and_values_do() -> None:
    assert artifact_id("score", {"a": 1, "b": 2}) == artifact_id("score", {"b": 2, "a": 1})
    assert artifact_id("score", {"a": 1}) != artifact_id("score", {"a": 1.5})
    assert artifact_id("score", {"a": 1}) != artifact_id("adapt", {"a": 1})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object(), Path("x")])
def test_what_cannot_be_hashed_is_an_error(value: Any) -> None:
    with pytest.raises(ConfigError):
        artifact_id("score", {"a": value})


def test_content_and_name_count_and_place_does_not(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("text")
    one = content_digest([("x.txt", tmp_path / "a")])
    assert one == content_digest([("x.txt", tmp_path / "b")])
    assert one != content_digest([("y.txt", tmp_path / "a")])


def test_a_models_digest_is_cached_and_notices_a_change(
    random_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, cache = tmp_path / "model", tmp_path / "digests.json"
    shutil.copytree(random_model, model)
    old = time.time() - 60
    monkeypatch.setattr("seal_cli.store.identity._RACY_SECONDS", -60)  # a ctime is always young
    for file in model.iterdir():
        os.utime(file, (old, old))
    first = model_digest(model, cache)
    known = json.loads(cache.read_text())
    assert len(known) >= 3
    # A wrong cache entry shows that it is used,
    cache.write_text(json.dumps(dict.fromkeys(known, "0" * 64)))
    assert model_digest(model, cache) != first
    # a changed time stamp that it is not used for another file,
    for file in model.iterdir():
        os.utime(file, (old + 1, old + 1))
    assert model_digest(model, cache) == first
    # and a damaged one that it is only a cache.
    cache.write_text("{")
    assert model_digest(model, cache) == first


def test_a_young_file_is_not_cached(random_model: Path, tmp_path: Path) -> None:
    model, cache = tmp_path / "model", tmp_path / "digests.json"
    shutil.copytree(random_model, model)
    for file in model.iterdir():
        os.utime(file)
    model_digest(model, cache)
    assert not cache.exists()


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_weights_config_and_tokenizer_make_the_model(
    random_model: Path, tmp_path: Path, name: str
) -> None:
    model = tmp_path / "model"
    shutil.copytree(random_model, model)
    cache = tmp_path / "digests.json"
    before = model_digest(model, cache)
    (model / "README.md").write_text("words")
    assert model_digest(model, cache) == before
    (model / name).write_bytes((model / name).read_bytes() + b" ")
    assert model_digest(model, cache) != before


@pytest.mark.parametrize(
    "name",
    [
        "adapter_config.json",
        "model.safetensors.index.json",
        "chat_template.jinja",
        "additional_chat_templates/tool.jinja",
        "special_tokens_map.json",
        "vocab.txt",
    ],
)
def test_whatever_transformers_would_open_makes_the_model(
    random_model: Path, tmp_path: Path, name: str
) -> None:
    model, cache = tmp_path / "model", tmp_path / "digests.json"
    shutil.copytree(random_model, model)
    before = model_digest(model, cache)
    (model / name).parent.mkdir(exist_ok=True)
    (model / name).write_text("{}")
    assert model_digest(model, cache) != before


def test_other_content_of_the_same_size_and_time_is_another_model(
    random_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seal_cli.store.identity._RACY_SECONDS", -60)
    model, cache = tmp_path / "model", tmp_path / "digests.json"
    shutil.copytree(random_model, model)
    weights = model / "model.safetensors"
    before, stat = model_digest(model, cache), weights.stat()
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    other = tmp_path / "other"
    other.write_bytes(content)
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    os.replace(other, weights)  # as `cp -p` or tar leave it
    assert weights.stat().st_mtime_ns == stat.st_mtime_ns
    assert model_digest(model, cache) != before
