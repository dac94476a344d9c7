"""Things that are made when they are asked for, of which few stay in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """At most ``size`` things by name, made when they are asked for; the one not asked for the longest gives way."""

    def __init__(self, size: int, make: Callable[[str], T]) -> None:
        self.size, self.make = size, make
        self._kept: OrderedDict[str, T] = OrderedDict()

    def __contains__(self, name: str) -> bool:
        return name in self._kept

    def __getitem__(self, name: str) -> T:
        if name not in self._kept:
            if len(self._kept) >= self.size:
                self._kept.popitem(last=False)
            self._kept[name] = self.make(name)
        self._kept.move_to_end(name)
        return self._kept[name]

    def clear(self) -> None:
        """Forget them all."""
        self._kept.clear()
