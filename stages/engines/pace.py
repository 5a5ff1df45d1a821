"""When the next request may leave: at an even rate, and not before a server wants it."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


class Pace:
    """Places in a row, 60 / `per_minute` seconds apart; 0 is no limit."""

    def __init__(self, per_minute: float) -> None:
        self.interval = 60 / per_minute if per_minute else 0.0
        self.next = 0.0

    async def wait(self) -> None:
        """Take the next place and wait for it."""
        now = time.monotonic()
        place = max(now, self.next)
        self.next = place + self.interval
        await asyncio.sleep(place - now)

    def pause(self, seconds: float) -> None:
        """Let nobody go for a while."""
        self.next = max(self.next, time.monotonic() + seconds)


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds a server asks to wait: given as seconds or as a date (RFC 9110, 10.2.3), or 0."""
    said = headers.get("retry-after", "")
    with suppress(ValueError):
        return max(0.0, float(said))
    with suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds())
    return 0.0
