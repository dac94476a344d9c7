"""``nlptl add-domain``: heads for more domains from a table of their labels."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from nlptl.contracts import Quarantine
from nlptl.data._read import read
from nlptl.errors import DataError, ModelError
from nlptl.predict.rows import source_like
from nlptl.saved import load
from nlptl.saved.domains import fit_domains
from nlptl.saved.parts import model_folder
from nlptl.saved.whose import domain_name

log = logging.getLogger("nlptl")


def add_domains(
    path: Path,
    labels: Path,
    *,
    name: str | None = None,
    text: str | None = None,
    domain: str | None = None,
    label: str | None = None,
    replace: bool = False,
    overrides: Sequence[str] = (),
) -> dict[str, tuple[int, int]]:
    """Give the domains in table ``labels`` heads of their own in the model in ``path``, whose heads are written anew.

    Args:
        labels: what a recipe's ``data`` reads, with a column of texts and one of labels for each task that has
            per-domain heads; rows without a label teach nothing.
        name: of the one domain that all rows belong to; else ``domain`` names the column of the domains.
        text, domain: columns; by default those of the model's training data.
        label: column of the labels, where one task has per-domain heads; by default as in training.
        replace: fit domains anew that have a head already.
        overrides: how ``labels`` are read, such as ``data.delimiter=;``.

    Returns:
        By domain: how many rows it has, and how many of them have a label that teaches.

    Raises:
        DataError: the table cannot be read, or neither a name nor a column says whose the rows are.
        ModelError: there is no whole model, it has no per-domain heads, has one of such a domain already, or was
            changed meanwhile.
    """
    folder = model_folder(path)
    name = None if name is None else domain_name(name)
    before = _heads_files(folder)
    model = load(folder)
    if label is not None and len(model.domain_heads) > 1:
        raise DataError(
            f"--label {label}: {', '.join(model.domain_heads)} have columns each; name them as in training."
        )
    named = {"source": None} | ({} if label is None else {"column": label})  # the table is no source of the recipe
    heads = {
        task: model.tasks[task].head.model_copy(update={"labels": model.tasks[task].labels, **named})
        for task in model.domain_heads
    }
    whose = None if name is not None else domain or model.columns.get("domain")
    source = source_like(model, labels, overrides, text=text, domain=whose)
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
    if _heads_files(folder) != before:
        raise ModelError(f"the heads in {folder} were changed meanwhile, such as by another add-domain; run it again.")
    model.save_heads(folder)
    taught = Counter(name for row, name in enumerate(names) if any(rows[task][row] is not None for task in heads))
    return {each: (count, taught[each]) for each, count in Counter(names).items()}


def _heads_files(folder: Path) -> list[tuple[str, int, int]]:
    """Which files hold the weights in a model folder, as they are now."""
    return sorted((file.name, file.stat().st_ino, file.stat().st_mtime_ns) for file in folder.glob("*.safetensors"))
