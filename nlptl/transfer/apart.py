"""Groups of domains that must never be mixed."""

from __future__ import annotations

from collections.abc import Sequence

from nlptl.errors import RecipeError
from nlptl.recipe import Transfer
from nlptl.transfer.match import listed, match


def apart_groups(transfer: Transfer, domains: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The groups of ``transfer.apart`` as domains.

    Raises:
        RecipeError: a pattern matches no domain, or a domain is in two groups.
    """
    groups = tuple(match(group, domains, where="transfer.apart") for group in transfer.apart)
    named = [domain for group in groups for domain in group]
    if twice := [domain for domain in dict.fromkeys(named) if named.count(domain) > 1]:
        raise RecipeError(f"transfer.apart: {listed(twice)} would be in two groups; narrow their patterns.")
    return groups


def may_mix(transfer: Transfer, sources: tuple[str, ...], targets: tuple[str, ...]) -> tuple[str, ...]:
    """The sources that may teach all of ``targets``.

    Raises:
        RecipeError: one model would mix groups that the recipe keeps apart.
    """
    group_of = {domain: place for place, group in enumerate(transfer.apart) for domain in group}
    first: dict[int, str] = {}
    for domain in targets if any(target in group_of for target in targets) else sources:
        if domain in group_of:
            first.setdefault(group_of[domain], domain)
    if len(first) > 1:
        one, other, *_ = first.values()
        raise RecipeError(
            f"transfer.apart keeps {one} from {other}, and one model for {listed(targets)} would mix them; set "
            "transfer.protocol: leave_one_out, or name sources and targets of one group."
        )
    return tuple(source for source in sources if not first or group_of.get(source, min(first)) in first)
