"""Keys hold what decides the rows, and nothing else."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from seal_cli.store.files import Digests
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
    model, cache = tmp_path / "model", tmp_path / "digests.txt"
    shutil.copytree(random_model, model)
    monkeypatch.setattr("seal_cli.store.files._RACY_SECONDS", -60)  # a ctime is always young
    first = model_digest(model, Digests(cache))
    whole = cache.read_text()
    assert len(whole.splitlines()) >= 3
    # A cache is used,
    with monkeypatch.context() as patched:
        patched.setattr("seal_cli.store.files.fresh_digest", None)
        assert model_digest(model, Digests(cache)) == first
    # a wrong line is not believed, a damaged one or one that is cut costs time alone,
    for damage in (whole.replace("0", "1"), whole[:-30], "{", "\x00\xff\n", whole + whole):
        cache.write_text(damage)
        assert model_digest(model, Digests(cache)) == first
    # and another time stamp is another file.
    cache.write_text(whole)
    for file in model.iterdir():
        os.utime(file, (1, 1))
    assert model_digest(model, Digests(cache)) == first
    assert len(cache.read_text().splitlines()) == 2 * len(whole.splitlines())


def test_a_young_file_is_not_cached(random_model: Path, tmp_path: Path) -> None:
    model, cache = tmp_path / "model", tmp_path / "digests.txt"
    shutil.copytree(random_model, model)
    model_digest(model, Digests(cache))
    assert not cache.exists()


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_weights_config_and_tokenizer_make_the_model(
    random_model: Path, tmp_path: Path, name: str
) -> None:
    model = tmp_path / "model"
    shutil.copytree(random_model, model)
    cache = Digests(tmp_path / "digests.txt")
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
    model, cache = tmp_path / "model", Digests(tmp_path / "digests.txt")
    shutil.copytree(random_model, model)
    before = model_digest(model, cache)
    (model / name).parent.mkdir(exist_ok=True)
    (model / name).write_text("{}")
    assert model_digest(model, cache) != before


def test_other_content_of_the_same_size_and_time_is_another_model(
    random_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seal_cli.store.files._RACY_SECONDS", -60)
    model, cache = tmp_path / "model", Digests(tmp_path / "digests.txt")
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
