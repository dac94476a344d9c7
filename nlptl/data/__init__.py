"""Where text comes from: one file a kind, each class a frozen description of a source (``nlptl.data.Csv``, …).

The check that all kinds share, and the table that the rest of the toolkit sees, are made by ``_read.read``.
"""

from nlptl.registry import lazy_kinds

__getattr__, __all__ = lazy_kinds("data")
