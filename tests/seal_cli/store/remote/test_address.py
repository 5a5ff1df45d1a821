import pytest

from seal_cli.store.remote.address import TRANSPORTS, parsed
from stages.errors import ConfigError

SECRET = "s3cret"


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("file:///a/b/", ("file", "", "/a/b")),
        ("s3://bucket/a b/c", ("s3", "bucket", "/a b/c")),
        ("s3://bucket", ("s3", "bucket", "")),
        ("sftp://me@host:22/a", ("sftp", "me@host:22", "/a")),
        ("hf://datasets/me/rewards", ("hf", "datasets", "/me/rewards")),
    ],
)
def test_a_url_is_taken_apart(url: str, parts: tuple[str, str, str]) -> None:
    assert parsed(url) == parts
    assert str(parsed(url)) == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        f"s3://key:{SECRET}@bucket/a",
        f"s3://{SECRET}@bucket/a",
        f"sftp://me:{SECRET}@host/a",
        f"s3://bucket/a?X-Amz-Signature={SECRET}",
        f"s3://bucket/a#{SECRET}",
        f"https://me:{SECRET}@host/a",
        f"s3://[{SECRET}/a",
        f"s3://bucket:{SECRET}/a",
        "s3://bucket/../other",
        "file:///a/./b",
        "file:///a//b",
        "file://",
        "s3://bucket/*",
        "s3://bucket/a%2e",
        "/a/folder",
        "",
        "s3://bucket/a\nb",
    ],
)
def test_what_is_not_plain_is_refused_without_a_word_of_it(url: str) -> None:
    with pytest.raises(ConfigError) as error:
        parsed(url)
    assert SECRET not in error.value.message + error.value.hint
    assert error.value.hint


def test_what_a_scheme_may_be_is_said() -> None:
    with pytest.raises(ConfigError) as error:
        parsed("ftp://host/a")
    assert all(f"{scheme}://" in error.value.hint for scheme in TRANSPORTS)
