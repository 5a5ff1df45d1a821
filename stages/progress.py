"""How far a long piece of work is, said now and then with the time that is left."""

import logging
import time

LOG = logging.getLogger(__name__)
INTERVAL = 10.0  # seconds between words


class Progress:
    """`what` has places for how many are done and how many there are: "step %d of %d"."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total = what, total
        self.start = self.said = time.monotonic()

    def at(self, done: int) -> None:
        """So many are done."""
        now = time.monotonic()
        if now - self.said >= INTERVAL and done < self.total:
            self.said = now
            left = (now - self.start) / done * (self.total - done)
            LOG.info(f"{self.what}, about %.0f s left", done, self.total, left)
