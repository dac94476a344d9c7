"""Several heads, one gradient: how the losses of tasks are weighed against one another."""

from nlptl.registry import lazy_kinds

__getattr__, __all__ = lazy_kinds("balance")
