"""Whatever a server answers is a failed row, soon, and nothing unusable enters the ledger."""

import gzip
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw import Raw, Reply, served

from stages.engines import Completion, Request
from stages.engines.openai import OpenAIEngine
from stages.engines.settings import EndpointConfig

GOOD: dict[str, Any] = {
    "id": "x", "object": "chat.completion", "created": 0, "model": "m",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "yes"}}
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}  # fmt: skip
PLACES = [
    (), ("choices",), ("choices", 0), ("choices", 0, "message"),
    ("choices", 0, "message", "content"), ("choices", 0, "finish_reason"), ("usage",),
    ("usage", "prompt_tokens"), ("usage", "completion_tokens"), ("model",), ("created",),
]  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[Raw]:
    with served() as running:
        yield running


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.engines.openai._FIRST_WAIT", 0.001)
    monkeypatch.setattr("stages.engines.openai._LONGEST_ASKED", 0.01)


def ask(server: Raw, reply: Any, **config: Any) -> tuple[Completion, dict[str, Completion]]:
    """What one request comes to, and what the ledger has of it."""
    server.reply = reply
    server.seen.clear()
    ledger: dict[str, Completion] = {}
    known = {"base_url": server.url, "api": "chat", "attempts": 2, "timeout": 5.0} | config
    engine = OpenAIEngine("teacher", EndpointConfig(**known), ledger=ledger)
    (answer,) = engine.complete([Request("Say.", seed=0, max_tokens=9)])
    return answer, ledger


def with_value(place: tuple[Any, ...], value: Any) -> Any:
    """The good answer with something else at one place."""
    if not place:
        return value
    answer = json.loads(json.dumps(GOOD))
    holder = answer
    for part in place[:-1]:
        holder = holder[part]
    holder[place[-1]] = value
    return answer


def said(value: Any) -> Reply:
    return Reply([json.dumps(value).encode()])


def test_a_good_answer_is_one(server: Raw) -> None:
    answer, ledger = ask(server, said(GOOD))
    assert answer == Completion("yes", 1, "stop")
    assert list(ledger.values()) == [answer]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("choices",), [None]),
        (("choices",), [1]),
        (("choices",), "abc"),
        (("choices",), {}),
        (("choices",), []),
        (("choices", 0, "message"), None),
        (("choices", 0, "message"), "text"),
        (("choices", 0, "message", "content"), None),
        (("choices", 0, "message", "content"), ["text"]),
        (("choices", 0, "message", "content"), "\ud800"),
        (("usage", "prompt_tokens"), "x"),
        (("usage", "prompt_tokens"), 1e308),
        (("usage", "completion_tokens"), 10**400),
        (("usage", "completion_tokens"), -1000),
        ((), None),
        ((), [[]]),
        ((), "text"),
    ],
)
def test_an_unusable_answer_is_a_failed_row_and_not_kept(
    server: Raw, place: tuple[Any, ...], value: Any
) -> None:
    answer, ledger = ask(server, said(with_value(place, value)))
    assert answer.error is not None
    assert (
        "the server's answer is not understood" in answer.error or "wrote no text" in answer.error
    )
    assert ledger == {}


@pytest.mark.parametrize(
    "body",
    [
        b'{"choices": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"[" * 900 + b"]" * 900,
        b"\xff\xfe",
        b"",
        b"NaN",
        b'{"usage": {"prompt_tokens": ' + b"9" * 5000 + b"}}",
    ],
    ids=["deep", "nearly-deep", "bytes", "nothing", "nan", "digits"],
)
def test_a_body_that_is_no_answer_is_a_failed_row(server: Raw, body: bytes) -> None:
    answer, ledger = ask(server, Reply([body]))
    assert answer.error is not None
    assert ledger == {}


@pytest.mark.parametrize("status", [200, 500])
def test_one_byte_after_another_is_given_up_in_time(server: Raw, status: int) -> None:
    def trickle() -> Iterator[bytes]:
        for _ in range(200):
            time.sleep(0.1)
            yield b" "

    start = time.monotonic()
    answer, _ = ask(server, Reply(trickle(), status), timeout=0.5, attempts=1)
    assert answer.error == "the server did not answer within 0.5 seconds"
    assert time.monotonic() - start < 4


@pytest.mark.parametrize("packed", [False, True])
def test_a_body_has_an_end(server: Raw, packed: bool) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        part = b" " * (1 << 20)
        for _ in range(1000):
            sent += 1
            yield part

    bomb = gzip.compress(b" " * (200 << 20))
    reply = Reply([bomb], headers={"Content-Encoding": "gzip"}) if packed else Reply(endless())
    answer, ledger = ask(server, reply, attempts=1)
    assert answer.error == "the server's answer is not understood: it has more than 16 MiB"
    assert ledger == {}
    assert sent < 100


def test_a_redirect_to_another_origin_gets_nothing_of_ours(
    server: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "x-secret: marked-0123")
    with served() as other:
        other.reply = said(GOOD)
        place = f"{other.url}/chat/completions"
        for status in (301, 302, 303, 307, 308):
            answer, ledger = ask(server, Reply([], status, {"Location": place}))
            assert "redirects to 127.0.0.1" in str(answer.error)
            assert ledger == {}
            assert [seen["x-secret"] for seen in server.seen] == ["marked-0123"]  # asked once
        assert other.seen == []


def test_a_redirect_within_an_origin_is_followed_but_not_for_ever(server: Raw) -> None:
    def reply(path: str) -> Reply:
        return said(GOOD) if path == "/else" else Reply([], 307, {"Location": "/else"})

    assert ask(server, reply)[0].text == "yes"
    answer, _ = ask(server, Reply([], 307, {"Location": "/v1/chat/completions"}), attempts=1)
    assert "in a circle" in str(answer.error)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**18, max_value=10**400)
    | st.floats()
    | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
BODIES = (
    st.builds(with_value, st.sampled_from(PLACES), JSON).map(lambda v: json.dumps(v).encode())
    | st.binary(max_size=200)
    | st.integers(1, 5000).map(lambda n: b'{"choices": ' + b"[" * n + b"]" * n + b"}")
)
WAITS = st.sampled_from(
    ["", "0", "-1", "nan", "inf", "1e400", "Mon, 01 Jan 99999 00:00:00 GMT", "x"]
)
STATUSES = st.sampled_from([200, 200, 200, 200, 400, 401, 404, 429, 500, 503, 600])


def holds(server: Raw, status: int, wait: str, body: bytes) -> None:
    """The property: a row, and in the ledger what can be written down and used again."""
    from stages.errors import ConfigError

    headers = {"Retry-After": wait} if wait else {}
    try:
        answer, ledger = ask(server, Reply([body], status, headers))
    except ConfigError:
        assert status == 401
        return
    assert (answer.error is None) == bool(ledger)
    answer.text.encode()
    (answer.error or "").encode("utf-8", "surrogatepass")
    assert answer.n_tokens is None or 0 <= answer.n_tokens < 2**32
    for kept in ledger.values():
        assert Completion(**json.loads(json.dumps(asdict(kept)))) == kept


def cases(number: int) -> Callable[..., Any]:
    every = list(HealthCheck)
    return settings(max_examples=number, deadline=None, suppress_health_check=every, database=None)


@cases(300)
@given(status=STATUSES, wait=WAITS, body=BODIES)
def test_any_answer_is_a_row(server: Raw, status: int, wait: str, body: bytes) -> None:
    holds(server, status, wait, body)


@pytest.mark.soak
@cases(10_000)
@given(status=STATUSES, wait=WAITS, body=BODIES)
def test_any_answer_is_a_row_at_length(server: Raw, status: int, wait: str, body: bytes) -> None:
    holds(server, status, wait, body)
