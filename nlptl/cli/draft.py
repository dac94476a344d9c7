"""A first recipe for data that nobody has described yet, with what was seen in it as comments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlptl import __version__
from nlptl.cli.columns import LONG_WORDS, Columns, counts, guess, share_long
from nlptl.contracts import Quarantine, Source
from nlptl.data._guess import kind_of, looked_at
from nlptl.data._read import reasons
from nlptl.errors import DataError
from nlptl.recipe import Recipe
from nlptl.recipe.file import written
from nlptl.recipe.rules_labels import task_names
from nlptl.recipe.yaml import inline
from nlptl.registry import find

if TYPE_CHECKING:
    import pandas as pd

CAUGHT = ("spam", "phishing", "toxic", "hate", "fraud", "positive", "pos", "1", "true", "yes")
"""Labels that, of two, are the one to be caught, likeliest first."""
MOST_LABELS = 30
"""More labels than this are not written out."""
SHOWN = 8


def draft(data: Path, output: Path) -> str:
    """A commented recipe for ``data``, to be kept in ``output``.

    Raises:
        DataError: the data is absent, of no known format, or without text.
        RecipeError: the recipe would not load.
    """
    settings = _source(data)
    source = find("data", settings["kind"])(**settings)
    assert isinstance(source, Source)
    quarantine = Quarantine()
    table = source.frame(quarantine)
    if table.empty:
        why = f" that can be read. {reasons(quarantine.rejections)}" if len(quarantine) else ""
        raise DataError(f"{str(data)!r} has no rows{why}; a recipe is guessed from rows, so give it some.")
    columns = guess(table)
    rejected = f", {len(quarantine)} more cannot be read" if len(quarantine) else ""
    name = re.sub(r"[^\w.-]+", "-", data.stem) or "run"
    lines = [
        f"# Written by nlptl init {__version__} from {_plain(data)}: {len(table):,} rows{rejected}.",
        "# What follows is guessed from the columns; correct what is guessed wrong.",
        f"# Run:     nlptl run {_plain(output)}",
        f"# Change:  append tune.kind=lora, or edit; nlptl show {_plain(output)} prints every setting and its default.",
        f"name: {inline(name)}",
        "seed: 0",
        "data:",
        *_data(settings, columns, table),
        *_transfer(columns, table),
        *_encoder(columns, table),
        "tune: {kind: frozen}  # heads alone learn, in seconds; next rung: {kind: lora}",
        *_heads(columns, table),
        *_metrics(columns, table),
    ]
    text = "\n".join(lines) + "\n"
    document = written(text, output)
    Recipe.model_validate(document.root.plain(), context=document)  # nothing is written that would not load
    return text


def _source(data: Path) -> dict[str, Any]:
    """The settings that say how ``data`` is read, judged by names and, for CSV, the first lines."""
    if not data.exists():
        raise DataError(f"there is no {str(data)!r}; the folder is {Path.cwd()}.")
    kind = kind_of(data)
    settings: dict[str, Any] = {"kind": kind, "path": str(data)}
    return settings | (looked_at(data, {}) if kind == "csv" else {})


def _data(settings: dict[str, Any], columns: Columns, table: pd.DataFrame) -> Iterator[str]:
    for key, value in settings.items():
        yield f"  {key}: {inline(value)}"
    yield f"  text: {inline(columns.text)}"
    if columns.text_pair:
        yield f"  text_pair: {inline(columns.text_pair)}"
    if columns.domain:
        yield f"  domain: {inline(columns.domain)}  # {_seen(counts(table[columns.domain]), 'domains')}"
    else:
        yield "  # domain: COLUMN  # whom each text belongs to (user, mailbox, product); none was found"
    if columns.time:
        times = table[columns.time].dropna().astype(str)
        yield f"  time: {inline(columns.time)}  # {_plain(times.min())} to {_plain(times.max())}"
    for role, column in (("id", columns.id), ("split", columns.split)):
        if column:
            seen = f"  # {_seen(counts(table[column]), 'splits')}" if role == "split" else ""
            yield f"  {role}: {inline(column)}{seen}"


def _transfer(columns: Columns, table: pd.DataFrame) -> Iterator[str]:
    if not columns.domain:
        return
    one = next(iter(counts(table[columns.domain])))
    yield "transfer:"
    yield "  protocol: joint  # leave_one_out: each domain in turn is served by a model that the others taught"
    yield f'  target: "*"  # the domains to serve, such as {inline([one])}'
    yield "  target_labels: all  # how many labels a class each target shows, 0 for none (then name the target)"


def _encoder(columns: Columns, table: pd.DataFrame) -> Iterator[str]:
    share = share_long(table[columns.text])
    comment = f"  # {share:.0%} of the texts have more than {LONG_WORDS} words, about 128 tokens"
    long = ", long: head_tail" if share > 0.1 else ""
    yield f"encoder: {{model: default, lexical: tfidf{long}}}{comment}"


def _heads(columns: Columns, table: pd.DataFrame) -> Iterator[str]:
    yield "heads:"
    yield f"  {inline(_task(columns, table))}:"
    yield "    kind: linear"
    if columns.label is None:
        yield "    column: label  # no column of labels was found; name it"
        return
    found = counts(table[columns.label])
    yield f"    column: {inline(columns.label)}  # {_seen(found, 'labels')}{_unlabelled(found, table)}"
    if len(found) <= MOST_LABELS:
        yield f"    labels: {inline(sorted(found))}"
    positive = _positive(columns, table)
    if positive:
        yield f"    positive: {inline(positive)}  # the label to be caught; F1 and AUC are its"


def _task(columns: Columns, table: pd.DataFrame) -> str:
    """A name for the task: what is to be caught, else the column of the labels, where that is free."""
    positive = _positive(columns, table)
    if positive in CAUGHT[:5]:
        return str(positive)
    return columns.label if columns.label and not any(task_names([columns.label])) else "answer"


def _metrics(columns: Columns, table: pd.DataFrame) -> Iterator[str]:
    caught = "  # recall_at_loss: how much is caught where 1 % of the rest is lost" if _positive(columns, table) else ""
    yield f"evaluate: {{metrics: [accuracy, f1, auc]}}{caught}"


def _positive(columns: Columns, table: pd.DataFrame) -> str | None:
    found = counts(table[columns.label]) if columns.label else {}
    caught = [label for name in CAUGHT for label in found if label.lower() == name]
    return caught[0] if len(found) == 2 and caught else None


def _seen(found: dict[str, int], what: str) -> str:
    shown = ", ".join(f"{_plain(value)[:30]} {count:,}" for value, count in list(found.items())[:SHOWN])
    return f"{len(found)} {what}: {shown}{', …' if len(found) > SHOWN else ''}"


def _plain(value: object) -> str:
    """``value`` on one line, with a ? for each sign that a comment in YAML cannot hold."""
    return "".join(sign if sign.isprintable() else "?" for sign in " ".join(str(value).split()))


def _unlabelled(found: dict[str, int], table: pd.DataFrame) -> str:
    without = len(table) - sum(found.values())
    return f"; {without:,} rows without" if without else ""
