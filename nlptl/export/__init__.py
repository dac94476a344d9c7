"""Models in other shapes: a stock PEFT adapter, one merged encoder, an ONNX graph."""

from nlptl.registry import lazy_kinds

__getattr__, __all__ = lazy_kinds("export")
