"""Row ids made from content: the same rows have the same ids in any order and format."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any


def fill_ids(columns: Mapping[str, Sequence[Any]]) -> list[str]:
    """The given ids of ``columns["id"]``, and for null ones an id made of ``domain``, ``text`` and ``text_pair``.

    A made id is 16 hex digits of BLAKE2b. Rows of the same content are told apart by ``-2``, ``-3``, … in the order of
    their ``split`` and ``time``, then as they stand. Labels have no say, so that no draw by id can depend on one.
    """
    given = columns["id"]
    ids = list(given)
    taken = {name for name in given if name is not None}
    pairs = columns.get("text_pair") or [""] * len(ids)
    alike: defaultdict[str, list[int]] = defaultdict(list)
    cells = zip(given, columns["domain"], columns["text"], pairs, strict=True)
    for row, (name, domain, text, pair) in enumerate(cells):
        if name is None:
            alike[_digest(domain, text, pair)].append(row)
    for digest, rows in alike.items():
        if len(rows) > 1:
            rows.sort(key=lambda row: _order(columns, row))
        occurrence = 0
        for row in rows:
            occurrence += 1
            while (made := digest if occurrence == 1 else f"{digest}-{occurrence}") in taken:
                occurrence += 1
            ids[row] = made
    return ids


def _digest(domain: str, text: str, pair: str) -> str:
    return blake2b(json.dumps([domain, text, pair]).encode(), digest_size=8).hexdigest()


def _order(columns: Mapping[str, Sequence[Any]], row: int) -> tuple[Any, ...]:
    cells = (columns[name][row] if name in columns else None for name in ("split", "time"))
    return tuple((cell is not None, cell if cell is not None else 0) for cell in cells)
