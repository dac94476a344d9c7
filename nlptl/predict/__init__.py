"""Answers for a whole file, in flat memory, that a kill does not lose."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nlptl.data._cells import as_name
from nlptl.errors import DataError
from nlptl.predict.rows import Row, lines_of, rows_of
from nlptl.progress import bar
from nlptl.saved import Model, load
from nlptl.saved.parts import model_folder, targets_folder
from nlptl.saved.targets import TargetModels

if TYPE_CHECKING:
    import pandas as pd

CHUNK = 2048
"""Rows answered and written together: enough to sort by length, little enough to lose."""

PROBLEM = "problem"
SHOWN = 5

log = logging.getLogger("nlptl")


def predict_file(
    model: Path,
    input: Path,
    output: Path,
    *,
    text: str | None = None,
    text_pair: str | None = None,
    domain: str | None = None,
    id: str | None = None,
    batch_tokens: int | None = None,
) -> Path:
    """Answer every row of ``input`` in order and write ``output``.

    The output has ``id`` (the named column's, else the row number from 0), the domain where it is known, each task's
    label and probabilities, and ``problem``: why a row has no answer. Finished chunks are kept beside the output until
    it is whole, so that the same command goes on where it was stopped.

    Args:
        text, text_pair: columns; by default those of the model's training data.
        domain: column of the domain, carried over; a model whose domains have something of their own answers each by
            its own, and looks for the domain where its training data had it unless told.
        id: column to carry over.
        batch_tokens: tokens a batch; by default as in the model's recipe.

    Raises:
        DataError: the input cannot be read, lacks a column, or the output's ending is unknown.
        ModelError: there is no whole model.
    """
    if output.suffix not in (".parquet", ".csv", ".jsonl"):
        raise DataError(f"{output} does not end in .parquet, .csv or .jsonl; name the output so.")
    served = load(model)
    text = text or served.columns.get("text") or "text"
    text_pair = text_pair or served.columns.get("text_pair")
    columns = {"text": text, "text_pair": text_pair, "domain": domain, "id": id}
    needed = tuple(dict.fromkeys(name for name in columns.values() if name is not None))
    if served.by_domain:
        columns["domain"] = domain or served.columns.get("domain")
    if isinstance(served, TargetModels):
        needed = (*needed, _whose(columns["domain"]))
    rows = rows_of(input, needed, columns["domain"])
    if batch_tokens is not None:
        served.use_batch_tokens(batch_tokens)
    parts = _open_parts(output, model, input, columns)
    with bar("predict") as progress:
        done = total = 0
        for number, chunk in enumerate(_chunks(rows)):
            part = parts / f"{number:08d}.parquet"
            if not part.is_file():
                partial = part.with_suffix(".partial")
                _answer(served, chunk, number * CHUNK, columns).to_parquet(partial, index=False)
                partial.replace(part)
            done += len(chunk)
            total = total or lines_of(input)  # which can be read, now that a chunk of it was
            progress(done, max(done, total))
    finished = sorted(parts.glob("*.parquet"))
    _join(finished, output)
    _tell(served, finished)
    shutil.rmtree(parts)
    return output


def _whose(domain: str | None) -> str:
    if domain is None:
        raise DataError("each target of this run has its own model: name the column of the domains with --domain.")
    return domain


def _tell(model: Model, parts: list[Path]) -> None:
    """Warn of rows that have no answer, by reason, and of those answered by the model that all other domains share."""
    import pandas as pd

    answered, refused, domains = 0, Counter[str](), Counter[str]()
    for part in parts:
        table = pd.read_parquet(part)
        left_out = table[PROBLEM].notna()
        answered += int((~left_out).sum())
        refused.update(table.loc[left_out, PROBLEM])
        if isinstance(model, TargetModels):
            domains.update(table.loc[~left_out, "domain"].fillna("(none)"))
    if refused:
        kinds = Counter[str]()
        for reason, count in refused.items():
            kinds[reason.partition(":")[0]] += count
        log.warning(
            "%d of %d rows have no answer, and column %r says why: %s", refused.total(), answered + refused.total(),
            PROBLEM, ", ".join(f"{count} × {kind}{_details(refused, kind)}" for kind, count in kinds.most_common()),
        )  # fmt: skip
    others = Counter({name: count for name, count in domains.items() if name not in model.domains})
    if others:
        log.warning(
            "%d rows of domains without a model of their own were answered by the one that they share: %s",
            others.total(), _listed([f"{name} ({count})" for name, count in others.most_common()]),
        )  # fmt: skip


def _details(refused: Counter[str], kind: str) -> str:
    """What follows the kind of reason, of the most frequent ones."""
    details = [reason.partition(": ")[2] for reason, _ in refused.most_common() if reason.partition(":")[0] == kind]
    return f" ({_listed(details)})" if any(details) else ""


def _listed(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + ", …" * (len(names) > SHOWN)


def _chunks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while chunk := list(itertools.islice(rows, CHUNK)):
        yield chunk


def _answer(model: Model, chunk: list[Row], start: int, columns: dict[str, str | None]) -> pd.DataFrame:
    import pandas as pd

    text, pair = str(columns["text"]), columns["text_pair"]
    domain, named = columns["domain"], columns["id"]
    domains = [None if domain is None else as_name(row.cells.get(domain)) for row in chunk]
    problems = [row.problem or (None if row.text(text) else "no text") for row in chunk]
    if isinstance(model, TargetModels):
        problems = [problem or model.refusal(whose) for problem, whose in zip(problems, domains, strict=True)]
    readable = [place for place, problem in enumerate(problems) if problem is None]
    pairs = None if pair is None else [chunk[place].text(pair) or "" for place in readable]
    texts = [str(chunk[place].text(text)) for place in readable]
    answers = model.predict(texts, pairs, domain=[domains[place] for place in readable])
    table = answers.set_index(pd.Index(readable)).reindex(range(len(chunk)))
    ids = [str(start + place) if named is None else as_name(row.cells.get(named)) for place, row in enumerate(chunk)]
    table.insert(0, "id", pd.Series(ids, dtype="str"))
    if domain is not None:
        table.insert(1, "domain", pd.Series(domains, dtype="str"))
    table[PROBLEM] = pd.Series(problems, dtype="str")
    return table


def _open_parts(output: Path, model: Path, input: Path, columns: dict[str, str | None]) -> Path:
    """The folder of finished chunks; one left by another model, input or column is cleared."""
    stat = input.stat()
    several = targets_folder(model)
    model = several or model_folder(model)
    files = sorted(path for path in model.rglob("*") if path.is_file())
    # Of thousands of users' adapters or models, size and time must do: to read them all takes longer than to answer.
    apart = [
        path for path in files if "adapters" in path.relative_to(model).parts or (several and path.parent != several)
    ]
    described = json.dumps([
        str(input.resolve()), stat.st_size, stat.st_mtime_ns, columns, CHUNK,
        [hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path not in set(apart)],
        [[path.stat().st_size, path.stat().st_mtime_ns] for path in apart],
    ])  # fmt: skip
    parts = output.with_name(f".{output.name}.parts")
    marker = parts / "of.json"
    if not marker.is_file() or marker.read_text(encoding="utf-8") != described:
        shutil.rmtree(parts, ignore_errors=True)
        parts.mkdir(parents=True)
        marker.write_text(described, encoding="utf-8")
    return parts


def _join(parts: list[Path], output: Path) -> None:
    """The chunks one after another as one file, whole or not at all."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    partial = output.with_name(f".{output.name}.partial")
    if output.suffix == ".parquet":
        schema = pa.unify_schemas([pq.read_schema(part) for part in parts], promote_options="permissive")
        with pq.ParquetWriter(partial, schema, compression="zstd") as writer:
            for part in parts:
                writer.write_table(pq.read_table(part).cast(schema))
    else:
        with partial.open("w", encoding="utf-8", newline="") as stream:
            for place, part in enumerate(parts):
                table = pd.read_parquet(part)
                if output.suffix == ".csv":
                    table.to_csv(stream, index=False, header=place == 0)
                else:
                    stream.write(table.to_json(orient="records", lines=True, force_ascii=False))
    partial.replace(output)
