"""The engine against a real server on a real socket: answers, faults, pace, budget, the ledger."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from endpoint import Server

from stages.engines import Completion, Request
from stages.engines.openai import OpenAIEngine
from stages.engines.settings import EndpointConfig
from stages.errors import ConfigError, ResourceError

Make = Callable[..., OpenAIEngine]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.engines.openai._FIRST_WAIT", 0.01)


@pytest.fixture
def make(server: Server) -> Make:
    """`make(**config)`: an engine that asks the server by plain completions."""

    def engine(config: dict[str, Any] | None = None, **options: Any) -> OpenAIEngine:
        settings = {"base_url": server.url, "api": "completions", "timeout": 5.0} | (config or {})
        return OpenAIEngine("teacher", EndpointConfig(**settings), **options)

    return engine


def requests(count: int, **fields: Any) -> list[Request]:
    return [Request(f"Prompt {i}", seed=i, max_tokens=9, **fields) for i in range(count)]


def test_what_is_sent_and_what_comes_back(make: Make, server: Server) -> None:
    server.start(reply=" one two")
    sampled = Request("Say.", seed=2**62 + 7, max_tokens=9, temperature=0.5, top_p=0.9)
    (written,) = make().complete([sampled])
    assert written == Completion(" one two", 2, "stop")
    (event,) = server.events()
    assert event["body"] == {
        "model": "teacher", "prompt": "Say.", "max_tokens": 9, "temperature": 0.5, "top_p": 0.9,
        "seed": 7,
    }  # fmt: skip


def test_by_chat_the_prompt_is_the_users_one_message(make: Make, server: Server) -> None:
    server.start(reply="yes")
    engine = make({"api": "chat"})
    (written,) = engine.complete(requests(1))
    assert written.text == "yes"
    (event,) = server.events()
    assert event["body"]["messages"] == [{"role": "user", "content": "Prompt 0"}]
    assert "top_p" not in event["body"]
    assert (engine.usage.prompt_tokens, engine.usage.completion_tokens) == (2, 1)


def test_many_at_once_come_back_in_order_and_each_once(make: Make, server: Server) -> None:
    server.start(share=0.3)
    asked = requests(60)
    engine = make({"attempts": 20})
    first = engine.complete(asked + asked[:5])
    assert [c.error for c in first] == [None] * 65
    assert first[60:] == first[:5]
    assert len({c.text for c in first}) == 60
    assert max(server.answered().values()) == 1
    assert engine.usage.in_vain > 5
    assert engine.complete(asked) == first[:60]  # the engine's own ledger
    assert max(server.answered().values()) == 1


def test_an_answer_ends_before_the_stop_string_blanks_at_the_front_aside(
    make: Make, server: Server
) -> None:
    server.start(reply="\n in 1871\nQ: And?")
    (written,) = make().complete(requests(1, stop="\n"))
    assert (written.text, written.finish) == ("\n in 1871", "stop")


@pytest.mark.parametrize(
    ("fault", "reason", "n_sent"),
    [
        ("500", "the server refused with 500: fault 500", 3),
        ("429", "the server refused with 429: fault 429", 3),
        ("drop", "the server did not answer", 3),
        ("html", "the server's answer is not understood", 3),
        ("400", "the server refused with 400: fault 400", 1),
        ("404", "the server refused with 404: fault 404", 1),
    ],
)
def test_what_goes_wrong_is_tried_again_where_that_can_help(
    make: Make, server: Server, fault: str, reason: str, n_sent: int
) -> None:
    server.start(share=1, faults=fault)
    (failed,) = make({"attempts": 3}).complete(requests(1))
    assert failed.error is not None
    assert failed.error.startswith(reason)
    assert ("3 attempts" in failed.error) == (n_sent == 3)
    assert (failed.text, failed.n_tokens, failed.finish) == ("", None, None)
    assert len(server.events()) == n_sent


def test_a_server_that_hangs_is_given_up(make: Make, server: Server) -> None:
    server.start(share=1, faults="hang")
    (failed,) = make({"timeout": 0.3, "attempts": 2}).complete(requests(1))
    assert failed.error == "the server did not answer within 0.3 seconds (2 attempts)"


def test_an_outage_is_over_soon_and_ends_with_the_next_answer(make: Make, server: Server) -> None:
    engine = make({"attempts": 4, "concurrency": 2})
    down = engine.complete(requests(40))
    assert all("did not answer" in str(c.error) for c in down)
    assert engine.usage.in_vain <= 2 * 4 + 38  # after the first ones nobody waits any more
    server.start()
    assert [c.error for c in engine.complete(requests(40))] == [None] * 40


def test_retry_after_is_honoured_by_all(make: Make, server: Server) -> None:
    server.start(rate=5, retry_after=0.4)
    engine = make({"concurrency": 4, "attempts": 30})
    assert [c.error for c in engine.complete(requests(12))] == [None] * 12
    statuses = [(event["at"], event["status"]) for event in server.events()]
    refused = [at for at, status in statuses if status == 429]
    assert refused
    # What was under way when the server refused may still come; then there is silence.
    quiet = [at for at, _ in statuses if refused[0] + 0.15 < at < refused[0] + 0.35]
    assert quiet == []


def test_a_pace_keeps_a_strict_server_content(make: Make, server: Server) -> None:
    server.start(rate=20)
    engine = make({"requests_per_minute": 900.0, "attempts": 1})
    assert [c.error for c in engine.complete(requests(25))] == [None] * 25
    times = sorted(event["at"] for event in server.events())
    assert times[-1] - times[0] >= 24 * 60 / 900 * 0.9


@pytest.mark.parametrize(
    ("budget", "least", "most"), [({"request_budget": 7}, 7, 7), ({"token_budget": 50}, 5, 8)]
)
def test_a_spent_budget_ends_the_run_and_the_next_goes_on(
    make: Make, server: Server, budget: dict[str, int], least: int, most: int
) -> None:
    server.start(reply="a b c d e f g h")  # with the prompt's two, ten tokens
    ledger: dict[str, Completion] = {}
    with pytest.raises(ResourceError, match=r"the budget is spent: . requests answered") as spent:
        make(budget | {"concurrency": 3}, ledger=ledger).complete(requests(20))
    assert "Run the same command" in spent.value.hint
    assert least <= len(ledger) <= most
    make(ledger=ledger).complete(requests(20))
    assert list(server.answered().values()) == [1] * 20


def test_a_key_that_is_refused_is_not_repeated(make: Make, server: Server) -> None:
    server.start(key="right")
    with pytest.raises(ConfigError, match=r"did not accept the key \(401\)") as refused:
        make(key="sk-marked-0123").complete(requests(20))
    assert "SEAL_API_KEY" in refused.value.hint
    assert "sk-marked" not in refused.value.message
    assert not server.answered()


def test_secrets_are_blotted_out_of_what_a_server_says(make: Make, server: Server) -> None:
    server.start(share=1, faults="400")
    (failed,) = make(key="sk-marked-0123", secrets=["other"]).complete(requests(1))
    assert failed.error == ("the server refused with 400: fault 400 for you, Bearer [secret]")


def test_a_signal_ends_a_run_at_once(make: Make, server: Server) -> None:
    import signal

    class Stop(BaseException):
        pass

    def stop(*_: Any) -> None:
        raise Stop

    server.start(delay=30)
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    started = time.monotonic()
    try:
        with pytest.raises(Stop):
            make({"timeout": 60.0}).complete(requests(4))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - started < 10  # not the server's thirty


def test_what_a_server_cannot_take_is_refused(make: Make, server: Server) -> None:
    with pytest.raises(ConfigError, match="cannot apply"):
        make().complete(requests(1), [object()])  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="--constrained"):
        make().complete(requests(1, grammar="root ::= .*"))
    with pytest.raises(ConfigError, match="no address is known for teacher"):
        OpenAIEngine("teacher", EndpointConfig())


def test_a_vllm_server_is_given_the_grammar(make: Make, server: Server) -> None:
    server.start()
    make(structured="vllm").complete(requests(1, grammar='root ::= "a"'))
    (event,) = server.events()
    assert event["body"]["structured_outputs"] == {"grammar": 'root ::= "a"'}


def test_without_the_library_the_line_that_installs_it_is_told(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError) as missing:
        make()
    assert missing.value.hint == "pip install 'seal-adapt[openai]'"
