"""JSON lines: one object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

from nlptl.contracts import Quarantine
from nlptl.data._files import FileSource


class Jsonl(FileSource):
    """Rows of a JSON-lines file in UTF-8. Blank lines are skipped; a key that a row lacks is null there."""

    kind: Literal["jsonl"] = "jsonl"

    suffixes: ClassVar[tuple[str, ...]] = (".jsonl", ".ndjson")

    def stream(
        self, file: Path, quarantine: Quarantine, wanted: frozenset[str] | None = None
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """The objects one after another. Lines that are not UTF-8, not JSON or not an object go to ``quarantine``."""
        with file.open("rb") as lines:
            for number, raw in enumerate(lines, start=1):
                if number == 1:
                    raw = raw.removeprefix(b"\xef\xbb\xbf")
                if not raw.strip():
                    continue
                row = _parse(raw)
                if isinstance(row, str):
                    quarantine.reject(str(file), number, row, raw.decode(errors="replace").strip())
                else:
                    yield number, row


def _parse(raw: bytes) -> dict[str, Any] | str:
    """The object of one line, or the reason why there is none."""
    try:
        row = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        return f"broken encoding: byte 0x{raw[error.start]:02x} at {error.start + 1} is not UTF-8"
    except json.JSONDecodeError as error:
        return f"not JSON: {error.msg} at column {error.colno}"
    except (RecursionError, ValueError) as error:
        return f"not JSON: {error}"
    return row if isinstance(row, dict) else f"not a JSON object: {type(row).__name__}"
