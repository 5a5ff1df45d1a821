"""Push, pull and --remote with S3: moto, and OpenStack Swift where it can be installed."""

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from far_servers import bucket, moto, s3_environ, swift
from places import *  # noqa: F403
from places import At, said
from small import Small

pytest.importorskip("s3fs", reason="needs s3fs: the extra s3")
CANARY = "canary-4a7d1ed414474e4033ac29ccb8653d9b"
_count = itertools.count()


@pytest.fixture(scope="module", params=["moto", pytest.param("swift", marks=pytest.mark.soak)])
def environ(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "moto":
        pytest.importorskip("moto", reason="needs moto[server,s3]")
        with moto(folder, "someone", CANARY) as found:
            yield found
        return
    made = subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=False)
    install = ["install", "-q", "--disable-pip-version-check", "swift"]
    done = subprocess.run(
        [folder / "venv/bin/python", "-m", "pip", *install], capture_output=True, check=False
    )
    if made.returncode or done.returncode:
        pytest.skip("OpenStack Swift cannot be installed here")
    with swift(folder, folder / "venv/bin") as found:
        yield found


@pytest.fixture
def place(environ: dict[str, str]) -> At:
    return bucket(environ, f"bucket-{next(_count)}")


def test_a_key_is_in_no_file_and_in_no_log(place: At, made: Small, tmp_path: Path) -> None:
    secret = place.environ["AWS_SECRET_ACCESS_KEY"]
    if secret != CANARY:
        pytest.skip("the key of this server is a word")
    other, rewards = tmp_path / "other", made.ids["score"]
    texts = []
    for store, *command in (
        (tmp_path / "run", *made.commands["import"], "--remote", place.url),
        (tmp_path / "run", *made.commands["generate"], "--remote", place.url, "--force"),
        (made.root, "push", rewards, place.url),
        (other, "pull", rewards, place.url),
        (other, "ls", "--remote", place.url),
        (other, "pull", rewards, "s3://no-such-bucket"),
        (other, "pull", rewards, f"s3://someone:{secret}@bucket"),
        (other, "pull", rewards, f"s3://bucket/?secret={secret}"),
        (other, "pull", rewards, f"s3+{secret}://bucket"[:20]),
    ):
        done = place.seal(store, *command)
        texts.append(done.stdout + done.stderr)
        assert "Traceback" not in done.stderr
    assert not any(secret in text for text in texts)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 20
    assert not any(secret.encode() in path.read_bytes() for path in files)


def test_what_cannot_be_reached_is_said(place: At, made: Small, tmp_path: Path) -> None:
    other, edits = tmp_path / "other", made.ids["generate"]
    assert f"{edits} is not at {place.url}" in said(place.seal(other, "pull", edits, place.url), 3)
    missing = "s3://there-is-none/deep"
    for command in (["pull", edits, missing], ["ls", "--remote", missing]):
        assert "there is no s3://there-is-none" in said(place.seal(other, *command), 2)
    assert "there is no s3://there-is-none" in said(
        place.seal(made.root, "push", edits, missing), 2
    )
    nobody = {
        "AWS_ACCESS_KEY_ID": "",
        "AWS_SECRET_ACCESS_KEY": "",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    assert "refuses access" in said(place.seal(other, "pull", edits, place.url, **nobody), 5)
    closed = s3_environ(1, "someone", "word")
    assert "cannot be used" in said(place.seal(other, "pull", edits, place.url, **closed), 5)
    if place.environ["AWS_SECRET_ACCESS_KEY"] != CANARY:  # moto lets everybody in
        wrong = {"AWS_SECRET_ACCESS_KEY": "wrong"}
        assert "refuses access" in said(place.seal(other, "pull", edits, place.url, **wrong), 5)
    assert not (other / "artifacts").exists() or not any((other / "artifacts").iterdir())
