"""A server that speaks OpenAI's protocol over real sockets, fails as told, and keeps a log.

As a process of its own (`Server`) it can be killed and started again; every request it has dealt
with is a line of its log, written after the last byte of the answer has left.
"""

import argparse
import hashlib
import json
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Faulty(ThreadingHTTPServer):
    """Answers by `reply`, fails a seeded `share` of the requests, refuses what is too fast."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(("127.0.0.1", options.port), Handler)
        self.options = options
        self.chance = random.Random(options.seed)
        self.guard = threading.Lock()
        self.taken: list[float] = []  # when requests of the last second came
        self.log = Path(options.log).open("a", buffering=1)  # noqa: SIM115  # open until killed
        self.busy = 0

    def fault(self) -> str | None:
        """What befalls the next request."""
        with self.guard:
            if self.chance.random() >= self.options.share:
                return None
            return self.chance.choice(self.options.faults.split(","))

    def too_fast(self) -> bool:
        """Whether this request is one too many within a second."""
        now = time.monotonic()
        with self.guard:
            self.taken = [at for at in self.taken if now - at < 1]
            if self.options.rate and len(self.taken) >= self.options.rate:
                return True
            self.taken.append(now)
            return False

    def note(self, **facts: Any) -> None:
        """One line of the log."""
        with self.guard:
            self.log.write(json.dumps(facts) + "\n")

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Faulty

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Silent: the log is `note`."""

    def do_GET(self) -> None:
        """Answers when every request is dealt with and in the log."""
        while self.server.busy:
            time.sleep(0.005)
        self.send(200, {})

    def do_POST(self) -> None:
        with self.server.guard:
            self.server.busy += 1
        try:
            self.deal()
        finally:
            with self.server.guard:
                self.server.busy -= 1

    def deal(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        body = json.loads(raw)
        key = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]
        options = self.server.options
        time.sleep(options.delay)
        fault = "429" if self.server.too_fast() else self.server.fault()
        if options.key and self.headers["Authorization"] != f"Bearer {options.key}":
            said = f"Incorrect API key provided: {self.headers['Authorization']}. {self.headers}"
            self.send(401, {"error": {"message": said}}, {"X-Echo": self.headers["Authorization"]})
            status = 401
        elif fault in ("500", "429", "400", "404"):
            status = int(fault)
            again = {"Retry-After": str(options.retry_after)} if status == 429 else {}
            said = f"fault {status} for you, {self.headers['Authorization']}"
            self.send(status, {"error": {"message": said}}, again)
        elif fault == "html":
            self.send(200, "<h1>bad gateway</h1>", {"Content-Type": "text/html"})
            status = -3
        elif fault == "drop":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            status = -1
        elif fault == "hang":
            status = -2
            self.server.note(status=status, key=key, at=time.time())
            time.sleep(3600)
        else:
            self.send(200, answer(body, self.path.endswith("chat/completions"), options.reply))
            status = 200
        headers = {n.lower(): v for n, v in self.headers.items()} if options.headers else None
        self.server.note(status=status, key=key, at=time.time(), body=body, headers=headers)

    def send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = (json.dumps(body) if not isinstance(body, str) else body).encode()
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | (headers or {})).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()


def answer(body: dict[str, Any], chat: bool, reply: str) -> dict[str, Any]:
    """A well-formed answer; its text depends on prompt and seed alone."""
    prompt = body["messages"][0]["content"] if chat else body["prompt"]
    text = verdict(prompt) if reply == "judge" else facts(prompt, body["seed"])
    text = text if reply in ("judge", "facts") else reply
    usage = {"prompt_tokens": len(prompt.split()), "completion_tokens": len(text.split())}
    usage["total_tokens"] = sum(usage.values())
    choice = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    return {
        "id": "x", "object": "chat.completion" if chat else "text_completion", "created": 0,
        "model": body["model"], "usage": usage,
        "choices": [{"index": 0, "finish_reason": "stop", **choice}],
    }  # fmt: skip


def facts(prompt: str, seed: int) -> str:
    """Two lines that look like a self-edit."""
    name = hashlib.sha256(f"{prompt} {seed}".encode()).hexdigest()[:8]
    return f"The harbour is known as {name}.\nIts light is old."


def verdict(prompt: str) -> str:
    """Yes when an accepted answer stands in what the student wrote."""
    golds = re.search(r"<accepted-(\w+)>\n(.*)\n</accepted-\1>", prompt, re.DOTALL)
    said = re.search(r"<student-(\w+)>\n(.*)\n</student-\1>", prompt, re.DOTALL)
    assert golds is not None
    assert said is not None
    return "Yes." if any(g[2:] in said[2] for g in golds[2].splitlines()) else "**no**"


@dataclass
class Server:
    """A `Faulty` server in a process of its own, on a port that it keeps over restarts."""

    log: Path
    port: int = field(default_factory=lambda: free_port())
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self, **options: Any) -> "Server":
        """Start it and wait until it listens."""
        self.stop()
        arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        command = [sys.executable, __file__, f"--port={self.port}", f"--log={self.log}"]
        self.process = subprocess.Popen([*command, *arguments])
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                assert self.process.poll() is None
                time.sleep(0.02)

    def stop(self) -> None:
        """SIGKILL, as a crash would."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def kill_after(self, answered: int) -> threading.Thread:
        """Kill it beside the test once it has answered so many requests."""

        def watch() -> None:
            while sum(e["status"] == 200 for e in self.logged()) < answered:
                time.sleep(0.02)
            self.stop()

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        return thread

    def events(self) -> list[dict[str, Any]]:
        """Everything in the log, once what is under way is in it."""
        with suppress(OSError):  # it may have been killed
            urllib.request.urlopen(self.url, timeout=2).close()
        return self.logged()

    def logged(self) -> list[dict[str, Any]]:
        """Everything in the log, whole lines alone."""
        lines = self.log.read_text().splitlines(keepends=True) if self.log.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def answered(self) -> Counter[str]:
        """How often each request was answered."""
        return Counter(event["key"] for event in self.events() if event["status"] == 200)


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--share", type=float, default=0.0, help="of requests that fail")
    parser.add_argument("--faults", default="500,429,drop")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0.0, help="requests a second it takes")
    parser.add_argument("--retry-after", type=float, default=0.05)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before an answer")
    parser.add_argument("--key", default="", help="the key it wants")
    parser.add_argument("--reply", default="facts", help="facts, judge, or this text")
    parser.add_argument("--headers", type=int, default=0, help="1: log the request's headers")
    Faulty(parser.parse_args()).serve_forever()


if __name__ == "__main__":
    main()
