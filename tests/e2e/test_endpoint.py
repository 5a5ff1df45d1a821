"""Servers that fail and come back, processes that are killed, and keys that must not stay."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from endpoint import Server

KILLED = -9
KEY = "sk-canary-7f3a91"
HEADER = "canary-header-55d0"


def passages(path: Path, count: int) -> Path:
    """So many passages with a question each, as JSON lines."""
    rows = [
        {
            "title": f"Harbour {i}",
            "context": f"The harbour of town {i} opened in {1000 + i}.",
            "questions": [{"question": f"When did {i} open?", "answer": str(1000 + i)}],
        }
        for i in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def self_edits(store: Path, artifact: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(
        store / "artifacts" / artifact / "part-00000.parquet"
    ).to_pylist()
    return rows


def test_a_thousand_requests_to_a_server_that_fails_and_crashes(
    forks: Any, server: Server, tmp_path: Path
) -> None:
    """Every row is there once after a rerun, and no answered request was sent twice."""
    store = tmp_path / "store"
    contexts = forks("import", "contexts", passages(tmp_path / "p.jsonl", 200), store=store).id
    command = [
        "generate", contexts, "--engine", "openai", "--policy", "teacher", "--base-url",
        server.url, "--samples", 5, "--concurrency", 32, "--api", "completions",
    ]  # fmt: skip
    server.start(share=0.1, seed=3)
    crash = server.kill_after(answered=400)
    first = forks(*command, "--attempts", 3, store=store)
    crash.join()
    rows = self_edits(store, first.id)
    failed = [row for row in rows if row["status"] == "failed"]
    assert len(rows) == 1000
    assert 300 < len(failed) <= 600
    assert all(row["reason"] for row in failed)
    assert f"{len(failed)} failed rows" in first.err
    server.start(share=0.1, seed=4)
    again = forks(*command, "--retry-failed", store=store)
    rows = self_edits(store, again.id)
    assert {row["status"] for row in rows} == {"ok"}
    assert len({(row["context_id"], row["sample"]) for row in rows}) == len(rows) == 1000
    answered = server.answered()
    assert len(answered) == 1000
    assert set(answered.values()) == {1}
    assert sum(event["status"] != 200 for event in server.events()) > 50
    assert len({row["seed"] % 2**31 for row in rows}) == 1000


def test_a_server_that_crashes_and_is_back_soon_costs_no_row(
    forks: Any, server: Server, tmp_path: Path
) -> None:
    import threading

    store = tmp_path / "store"
    contexts = forks("import", "contexts", passages(tmp_path / "p.jsonl", 40), store=store).id
    server.start(share=0.1, delay=0.02)
    crash = server.kill_after(answered=60)

    def revive() -> None:
        crash.join()
        server.start(share=0.1, delay=0.02)

    back = threading.Thread(target=revive)
    back.start()
    done = forks(
        "generate", contexts, "--engine", "openai", "--policy", "t", "--base-url", server.url,
        "--samples", 5, "--strict", store=store,
    )  # fmt: skip
    back.join()
    assert {row["status"] for row in self_edits(store, done.id)} == {"ok"}
    assert set(server.answered().values()) == {1}


def test_a_killed_run_goes_on_where_it_was(forks: Any, server: Server, tmp_path: Path) -> None:
    store, concurrency = tmp_path / "store", 4
    contexts = forks("import", "contexts", passages(tmp_path / "p.jsonl", 40), store=store).id
    command = [
        "generate", contexts, "--engine", "openai", "--policy", "t", "--base-url", server.url,
        "--samples", 5, "--concurrency", concurrency,
    ]  # fmt: skip
    server.start(delay=0.05, share=0.1)
    kills = 0
    while True:
        ended = forks(*command, store=store, kill_after=1.5 if kills < 3 else None)
        if ended.code != KILLED:
            break
        kills += 1
    assert kills >= 2
    assert {row["status"] for row in self_edits(store, ended.id)} == {"ok"}
    answered = server.answered()
    assert len(answered) == 200
    # Only what was under way when the process died had to be asked once more.
    assert sum(answered.values()) <= 200 + kills * concurrency


def test_no_key_header_or_address_with_a_secret_is_left_anywhere(
    forks: Any, server: Server, tmp_path: Path
) -> None:
    store, said = tmp_path / "store", []

    def run(*argv: object, **environ: str) -> Any:
        keys = {"SEAL_API_KEY": KEY, "OPENAI_CUSTOM_HEADERS": f"X-Canary: {HEADER}"}
        ended = forks(*argv, store=store, environ=keys | environ)
        said.append(ended.out + ended.err)
        assert "Traceback" not in ended.err
        return ended

    contexts = run("import", "contexts", passages(tmp_path / "p.jsonl", 2)).id
    teacher = [
        "generate", contexts, "--engine", "openai", "--policy", "t", "--samples", 1, "--attempts", 2
    ]  # fmt: skip
    where = ["--base-url", server.url]
    server.start(key=KEY, headers=1)
    edits = run(*teacher, *where)
    assert edits.code == 0
    (headers, *_) = [event["headers"] for event in server.events()]
    assert (headers["authorization"], headers["x-canary"]) == (f"Bearer {KEY}", HEADER)
    # Another key: the server says it aloud, in a body and in a header.
    server.start(key="another")
    locked_out = run(*teacher, *where, "--seed", 1)
    assert locked_out.code == 2
    assert "did not accept the key" in locked_out.err
    for seed, fault in enumerate(("400", "500", "html", "drop"), 2):
        server.start(share=1, faults=fault)
        failed = run(*teacher, *where, "--seed", seed)
        assert failed.code == 4
        assert {row["status"] for row in self_edits(store, failed.out.strip())} == {"failed"}
    server.stop()
    assert run(*teacher, *where, "--seed", 9).code == 4
    # A judge, well and with a key that is refused.
    scripted = run("generate", contexts, "--policy", "tiny", "--engine", "scripted", "--samples", 1)
    judged = ["score", scripted.id, "--grader", "judge:j", *where, "--repeats", 1, "--epochs", 1]
    server.start(key=KEY, reply="judge")
    assert run(*judged).code == 0
    server.start(key="another", reply="judge")
    judged[3] = "judge:k"  # of the other one the verdicts are known by now
    refused = run(*judged, SEAL_JUDGE_API_KEY=KEY + "-2")
    assert refused.code == 2
    assert "did not accept the key" in refused.err
    # Addresses and settings with a secret in them are refused before anything is written.
    for bad in (
        ["--base-url", f"http://me:{KEY}@127.0.0.1:{server.port}/v1"],
        ["--base-url", f"{server.url}?key={KEY}"],
        ["--set", f"endpoint.base_url=http://{KEY}@host/v1"],
        [*where, "--set", f"endpoint.api_key={KEY}"],
    ):
        assert run(*teacher, *bad).code == 2
    assert run(*teacher, SEAL_ENDPOINT_BASE_URL=f"http://{KEY}@host/v1").code == 2
    assert run(*teacher, *where, SEAL_ENDPOINT_API_KEY=KEY).code == 2
    files = [path for path in store.rglob("*") if path.is_file()]
    assert any(path.parent.name == "requests" for path in files)
    for text in [*map(content, files), *(text.encode() for text in said)]:
        assert KEY.encode() not in text
        assert HEADER.encode() not in text


def content(path: Path) -> bytes:
    """What is in a file; Parquet is compressed."""
    if path.suffix != ".parquet":
        return path.read_bytes()
    table = pq.read_table(path)
    return f"{table.schema.metadata} {table.to_pylist()}".encode("utf-8", "surrogatepass")
