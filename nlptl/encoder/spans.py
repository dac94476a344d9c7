"""Where words stand in a text; no torch, so that looking for words starts at once."""

from __future__ import annotations

import re
from collections.abc import Iterator

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


def words_of(text: str) -> Iterator[tuple[str, int, int]]:
    """(word in lower case, start, end) of each run of letters, apostrophes inside one included; in scripts without
    spaces a run is no word, and nothing can be said of it."""
    for found in _WORD.finditer(text):
        yield found.group().lower(), found.start(), found.end()
