"""Looking before training: one file a measure, all from vectors that are stored anyway."""

from nlptl.registry import lazy_kinds

__getattr__, __all__ = lazy_kinds("diagnose")
