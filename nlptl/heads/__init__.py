"""Vectors → answers: one file a kind of head."""

from nlptl.registry import lazy_kinds

__getattr__, __all__ = lazy_kinds("heads")
