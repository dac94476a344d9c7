"""``nlptl add-domain``: heads for more domains from a table of their labels."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import Any

from nlptl.contracts import Quarantine, Source
from nlptl.data._read import read
from nlptl.errors import DataError
from nlptl.registry import find
from nlptl.saved import load
from nlptl.saved.domains import fit_domains
from nlptl.saved.parts import model_folder

log = logging.getLogger("nlptl")


def add_domains(
    path: Path,
    labels: Path,
    *,
    name: str | None = None,
    text: str | None = None,
    domain: str | None = None,
    replace: bool = False,
) -> dict[str, tuple[int, int]]:
    """Give the domains in table ``labels`` heads of their own in the model in ``path``, whose heads are written anew.

    Args:
        labels: a .csv, .jsonl or .parquet file with a column of texts and one of labels for each task that has
            per-domain heads; rows without a label teach nothing.
        name: of the one domain that all rows belong to; else ``domain`` names the column of the domains.
        text, domain: columns; by default those of the model's training data.
        replace: fit domains anew that have a head already.

    Returns:
        By domain: how many rows it has, and how many of them have a label that teaches.

    Raises:
        DataError: the table cannot be read, or no column says whose the rows are.
        ModelError: there is no whole model, it has no per-domain heads, or has one of such a domain already.
    """
    folder = model_folder(path)
    model = load(folder)
    heads = {
        task: model.tasks[task].head.model_copy(update={"labels": model.tasks[task].labels})
        for task in model.domain_heads
    }
    source = _source(labels, {
        "text": text or model.columns.get("text") or "text",
        "text_pair": model.columns.get("text_pair"),
        "domain": None if name is not None else domain or model.columns.get("domain"),
    })  # fmt: skip
    if name is None and source.domain is None:
        raise DataError(
            "whose rows are these? Name the domain with --name, or the column of the domains with --domain."
        )
    quarantine = Quarantine()
    rows = read(source, heads, quarantine)[:]
    for rejection in quarantine.rejections:
        log.warning("%s, line %d is left out: %s", rejection.file, rejection.line, rejection.reason)
    names = [name] * len(rows["text"]) if name is not None else rows["domain"]
    model.domain_heads = fit_domains(
        model, names, rows["text"], {task: rows[task] for task in heads}, rows.get("text_pair"), replace_old=replace
    )
    model.save_heads(folder)
    taught = Counter(name for row, name in enumerate(names) if any(rows[task][row] is not None for task in heads))
    return {each: (count, taught[each]) for each, count in Counter(names).items()}


def _source(path: Path, columns: dict[str, Any]) -> Source:
    """The table at ``path`` as a source of data."""
    kind = path.suffix.removeprefix(".")
    if kind not in ("csv", "jsonl", "parquet"):
        raise DataError(f"{path} is none of .csv, .jsonl, .parquet; convert it, or give it the right ending.")
    source = find("data", kind).model_validate({"path": str(path), **columns})
    assert isinstance(source, Source)
    return source
