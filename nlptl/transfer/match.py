"""Domains by name or glob."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from nlptl.errors import RecipeError, nearest

SHOWN = 20
"""Domains that are listed before the rest is counted."""


def match(patterns: str | Sequence[str], domains: Sequence[str], *, where: str) -> tuple[str, ...]:
    """The domains that ``patterns`` name, in the order of the patterns, each once.

    A pattern that is itself a domain's name means that domain alone, even where it holds ``*``, ``?`` or ``[``.

    Raises:
        RecipeError: patterns that match no domain, all in one message; ``where`` is their place in the recipe.
    """
    found: dict[str, None] = {}
    problems = []
    for pattern in (patterns,) if isinstance(patterns, str) else patterns:
        matches = [pattern] if pattern in domains else [name for name in domains if fnmatchcase(name, pattern)]
        found.update(dict.fromkeys(matches))
        if not matches:
            problems.append(f"{where}: no domain matches {pattern!r}{nearest(pattern, domains)}")
    if problems:
        raise RecipeError(f"{where} must name domains of the data: {listed(domains)}.", tuple(problems))
    return tuple(found)


def listed(domains: Sequence[str]) -> str:
    """The first ``SHOWN`` of ``domains``, and how many more there are."""
    more = f" and {len(domains) - SHOWN} more" if len(domains) > SHOWN else ""
    return ", ".join(domains[:SHOWN]) + more
