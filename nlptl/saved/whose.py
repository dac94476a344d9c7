"""Whose the texts are: a domain for all or one for each, and what is said where a domain has no model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from nlptl.data._cells import NO_DOMAIN, Refused, as_name
from nlptl.errors import DataError, nearest

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

SHOWN = 5
Whose: TypeAlias = "str | float | Sequence[str | float | None] | np.ndarray | pd.Series | None"
"""The domain of all texts, or one a text: a list, an array or a pandas column; None where there is none."""


def domains_of(whose: Whose, texts: int) -> list[str]:
    """The domain of each of so many texts.

    Names are made as in training: 7 is "7", space around a name goes; None, NaN and an empty text are ``NO_DOMAIN``.

    Raises:
        DataError: there is not one a text, or one is no name.
    """
    if isinstance(whose, str) or not isinstance(whose, Iterable):
        given: list[Any] = [whose] * texts
    else:
        given = list(whose)
    if len(given) != texts:
        raise DataError(f"{texts} texts and {len(given)} domains were given; give one domain, or one a text.")
    names = []
    for place, name in enumerate(given):
        try:
            names.append(as_name(name) or NO_DOMAIN)
        except Refused as why:
            raise DataError(f"the domain of text {place} is {name!r} ({why}); give its name, or None.") from None
    return names


def domain_name(given: str) -> str:
    """One domain's name as training makes it.

    Raises:
        DataError: nothing is left of it, or it is no name.
    """
    try:
        name = as_name(given)
    except Refused as why:
        raise DataError(f"{given!r} names no domain ({why}); give its name, such as ann.") from None
    if name is None:
        raise DataError(f"{given!r} names no domain; give its name, such as ann.")
    return name


def without_model(lacking: Counter[str | None], texts: int, targets: Sequence[str]) -> str:
    """Why so many ``texts`` cannot be answered, of whose domains those ``lacking`` a model are counted.

    Args:
        targets: the domains that have a model.
    """
    unnamed = lacking[None] + lacking[NO_DOMAIN]
    named = [(name, count) for name, count in lacking.most_common() if name is not None and name != NO_DOMAIN]
    shown = [f"{domain!r} ({count})" for domain, count in named[:SHOWN]] + ["…"] * (len(named) > SHOWN)
    shown += [f"none named ({unnamed})"] if unnamed and named else []
    where = f"of domains without a model: {', '.join(shown)}" if named else "of no domain"
    hint = (nearest(named[0][0], targets) if named else "") or "."
    return f"{lacking.total()} of {texts} texts are {where}{hint} {known_targets(targets)}"


def known_targets(targets: Sequence[str]) -> str:
    """Which domains have a model where none is for others, and what to do about it."""
    return (
        f"Each target of this run has its own model ({', '.join(targets[:SHOWN])}{', …' * (len(targets) > SHOWN)}), "
        "and none was taught by all, to serve others. Name the domain of each text, or run the recipe with "
        "transfer.protocol: joint for a model that serves domains to come."
    )
