"""Wall seconds by stage of a run."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Adds up the seconds spent in blocks of each name."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._spent: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count the block's seconds under ``stage``."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._spent[stage] = self._spent.get(stage, 0.0) + time.perf_counter() - began

    def seconds(self) -> dict[str, float]:
        """Seconds by stage, and in all since the clock was made, rounded to milliseconds."""
        stages = self._spent | {"total": time.perf_counter() - self._began}
        return {stage: round(seconds, 3) for stage, seconds in stages.items()}
