"""What a look found: a mapping of plain values that shows itself as a table."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table


class Found(Mapping[str, Any]):
    """Plain values, ready for JSON, with a table of ``columns`` in a terminal and in a notebook."""

    columns: tuple[str, ...] = ()

    def __init__(self, found: Mapping[str, Any]) -> None:
        self._found = dict(found)

    def __getitem__(self, name: str) -> Any:
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def cells(self) -> Iterator[tuple[str, ...]]:
        """The rows of the table, with ``columns``."""
        raise NotImplementedError

    def notes(self) -> Iterator[str]:
        """Lines to stand below the table, as they are."""
        yield from ()

    def __rich__(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table(*self.columns, box=None, pad_edge=False)
        for cells in self.cells():
            table.add_row(*(Text(cell) for cell in cells))  # names and texts are data: no markup in them is read
        return table

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.columns)
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>" for cells in self.cells()
        )
        notes = html.escape("\n".join(self.notes()))
        return f"<table><tr>{head}</tr>{rows}</table>" + (f"<pre>{notes}</pre>" if notes else "")
