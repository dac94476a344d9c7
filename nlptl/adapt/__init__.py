"""Closing the gap between the domains that teach and those that are served: one file a method."""

from nlptl.registry import lazy_kinds

__getattr__, __all__ = lazy_kinds("adapt")
