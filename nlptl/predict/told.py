"""What a prediction says when it is done: which rows have no answer, and who was served by what all others share."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from nlptl.data._cells import NO_DOMAIN
from nlptl.recipe.rules_labels import PROBLEM
from nlptl.saved import Model
from nlptl.saved.targets import TargetModels

SHOWN = 5

log = logging.getLogger("nlptl")


def tell(model: Model, parts: Sequence[Path]) -> None:
    """Warn of rows that have no answer, by reason, and of those answered by the model that all other domains share."""
    import pandas as pd
    import pyarrow.parquet as pq

    several = isinstance(model, TargetModels)
    owned = several or (model.by_domain and model.columns.get("domain") is not None)
    named = owned and bool(parts) and "domain" in pq.read_schema(parts[0]).names
    answered, refused, domains = 0, Counter[str](), Counter[str]()
    for part in parts:
        table = pd.read_parquet(part, columns=[PROBLEM, "domain"] if named else [PROBLEM])
        left_out = table[PROBLEM].notna()
        answered += int((~left_out).sum())
        refused.update(table.loc[left_out, PROBLEM])
        if named:
            domains.update(table.loc[~left_out, "domain"].dropna())
    if refused:
        kinds = Counter[str]()
        for reason, count in refused.items():
            kinds[reason.partition(":")[0]] += count
        log.warning(
            "%d of %d rows have no answer, and column %r says why: %s", refused.total(), answered + refused.total(),
            PROBLEM, ", ".join(f"{count} × {kind}{_details(refused, kind)}" for kind, count in kinds.most_common()),
        )  # fmt: skip
    own = {*model.domains, *getattr(model.shelf, "domains", ())}
    unnamed = 0 if NO_DOMAIN in own else answered - domains.total()
    if owned and unnamed and not domains:
        log.warning(
            "no row names its domain: all %d were answered by what all domains share; name the column of the domains "
            "with --domain", unnamed,
        )  # fmt: skip
        return
    others = Counter({name: count for name, count in domains.items() if name not in model.domains})
    if several and (others or unnamed):
        shown = [_listed([f"{name} ({count})" for name, count in others.most_common()])] if others else []
        shown += [f"none named ({unnamed})"] if unnamed else []
        log.warning(
            "%d rows of domains without a model of their own were answered by the one that they share: %s",
            others.total() + unnamed, ", ".join(shown),
        )  # fmt: skip


def _details(refused: Counter[str], kind: str) -> str:
    """What follows the kind of reason, of the most frequent ones."""
    details = [reason.partition(": ")[2] for reason, _ in refused.most_common() if reason.partition(":")[0] == kind]
    return f" ({_listed(details)})" if any(details) else ""


def _listed(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + ", …" * (len(names) > SHOWN)
