"""More views of the rows that teach: one file a method."""

from nlptl.registry import lazy_kinds

__getattr__, __all__ = lazy_kinds("augment")
