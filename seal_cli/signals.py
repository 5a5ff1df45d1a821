"""Ctrl-C and SIGTERM as one exception that is not lost.

Python drops an exception that a signal handler raises inside a destructor or a C callback; the
handler therefore also takes a note, which the runner looks at between batches.
"""

import signal
from types import FrameType

_arrived: list[int] = []


class Stopped(BaseException):
    """A signal asked the process to end. `exit_code` is the shell's: 128 + signal."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.exit_code = 128 + number


def install() -> None:
    """Let SIGINT and SIGTERM raise Stopped."""
    _arrived.clear()
    signal.signal(signal.SIGINT, _stop)
    signal.signal(signal.SIGTERM, _stop)


def check() -> None:
    """Raise Stopped if a signal came and its exception went unheard."""
    if _arrived:
        raise Stopped(_arrived[-1])


def _stop(number: int, _: FrameType | None) -> None:
    _arrived.append(number)
    raise Stopped(number)
