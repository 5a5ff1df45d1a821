"""Chat templates, rendered by a process that has jinja2 and nothing else (`stages.renderer`).

It is started when the first template is rendered, and ends with this process. It gets no variable
of our environment, no file of ours, and no signal of our terminal. Its date is `renderer.TODAY`.
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from stages import renderer
from stages.errors import InputError

Chat = Sequence[Mapping[str, str]]
PATIENCE = 60.0  # seconds for an answer, whatever the process is doing
_AT_ONCE = 256  # chats of one request
_CHARACTERS = 1 << 20  # of one request, unless a single chat is longer
_KEPT = ("LD_LIBRARY_PATH",)  # of our environment: without it Python may not start
_HINT = "Use --chat off, or correct the model's chat template."
_process: "_Process | None" = None


class Refused(InputError):
    """The template itself raised: it does not take such messages."""


def rendered(template: str, tokens: Mapping[str, str], chats: Sequence[Chat]) -> list[str]:
    """Each chat inside a template, ready for the model's answer. `tokens` are the special ones.

    Raises:
        Refused: the template raised an error of its own.
        InputError: it is broken, or takes more time or memory than a template may.

    """
    return [text for part in _parts(chats) for text in _asked(template, tokens, part)]


def _parts(chats: Sequence[Chat]) -> Iterator[list[Chat]]:
    """Chats in order, so many together as one request takes."""
    part: list[Chat] = []
    size = 0
    for chat in chats:
        length = sum(len(message["content"]) for message in chat)
        if part and (len(part) == _AT_ONCE or size + length > _CHARACTERS):
            yield part
            part, size = [], 0
        part.append(chat)
        size += length
    if part:
        yield part


def _asked(template: str, tokens: Mapping[str, str], chats: Sequence[Chat]) -> list[str]:
    """What the process says to one request; whatever goes wrong with it ends it."""
    global _process
    process = _process = _process or _Process()
    request = {"template": template, "tokens": dict(tokens), "chats": chats}
    try:
        answer = json.loads(process.ask(json.dumps(request).encode()))
    except BaseException as error:
        _process = None
        why = process.end()
        if isinstance(error, OSError | ValueError):
            raise InputError(f"rendering the chat template was stopped: {why}.", _HINT) from error
        raise
    if "error" in answer:
        kind = Refused if answer.get("refused") else InputError
        raise kind(f"the chat template cannot be rendered: {answer['error']}.", _HINT)
    texts: list[str] = answer["texts"]
    return texts


class _Process:
    """The running program, and the socket that is its stdin and stdout."""

    def __init__(self) -> None:
        places = {str(Path(_origin(name)).parents[1]) for name in ("jinja2", "markupsafe")}
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._child = subprocess.Popen(  # noqa: S603  # our own program
                [sys.executable, "-I", "-S", "-B", renderer.__file__, *sorted(places)],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
                env={name: os.environ[name] for name in _KEPT if name in os.environ},
                start_new_session=True,
            )
        atexit.register(self.end, 0.0)

    def ask(self, request: bytes) -> bytes:
        """Its answer. Raises OSError when there is none in time, or the process is gone."""
        deadline = time.monotonic() + PATIENCE
        self._socket.settimeout(PATIENCE)
        self._socket.sendall(request + b"\n")
        parts: list[bytes] = []
        while not parts or not parts[-1].endswith(b"\n"):
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            parts.append(self._socket.recv(1 << 20))
            if not parts[-1]:
                raise ConnectionError("the process is gone")
        return b"".join(parts)

    def end(self, seconds: float = 1.0) -> str:
        """End it, in so many seconds by force, and say why it had ended, where it had."""
        atexit.unregister(self.end)
        self._socket.close()
        try:
            code = self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
            return f"no answer within {PATIENCE:g} s"
        if code == -signal.SIGPROF:
            return f"it takes longer than {renderer.SECONDS:g} s"
        return f"its process ended with {code}"


def _origin(name: str) -> str:
    """Where a package lies. Raises InputError when it is not installed."""
    found = find_spec(name)
    if found is None or found.origin is None:
        raise InputError(f"chat templates need {name}, which is not installed.", "Install it.")
    return found.origin
