"""What in the encoder learns."""

from nlptl.registry import lazy_kinds

__getattr__, __all__ = lazy_kinds("tune")
