"""Answers for a whole file, in flat memory, that a kill does not lose."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlptl.contracts import Task
from nlptl.data._cells import is_null
from nlptl.data._files import FileSource, finds
from nlptl.errors import DataError, writing
from nlptl.predict.rows import Row, length_of, rows_of, source_like
from nlptl.predict.told import tell
from nlptl.progress import bar
from nlptl.recipe.rules_labels import PROBLEM
from nlptl.saved import Model, load
from nlptl.saved.parts import model_folder, targets_folder
from nlptl.saved.targets import TargetModels
from nlptl.saved.whose import known_targets

if TYPE_CHECKING:
    import pandas as pd

CHUNK = 2048
"""Rows answered and written together: enough to sort by length, little enough to lose."""


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
    overrides: Sequence[str] = (),
) -> Path:
    """Answer every row of ``input``, whatever a recipe's ``data`` could read, in order, and write ``output``.

    The output has ``id`` (the named column's, else the row number from 0), the domain where it is known, each task's
    label and probabilities, and ``problem``: why a row has no answer. Several labels are a list, in a csv
    one cell with the head's separator between them. Finished chunks are kept beside the output until it is whole, so
    that the same command goes on where it was stopped.

    Args:
        text, text_pair: columns; by default those of the model's training data.
        domain: column of the domain, carried over; a model whose domains have something of their own answers each by
            its own, and looks for the domain where its training data had it unless told. Without such a column what all
            share answers, and a line says so; it is needed only where each target has a model and nothing is shared.
        id: column to carry over.
        batch_tokens: tokens a batch; by default as in the model's recipe.
        overrides: how the input is read, such as ``data.delimiter=;``; by default by its ending, and like the model's
            training data where that is of the same kind.

    Raises:
        DataError: the input cannot be read or lacks a column; the output's ending is unknown, it cannot be written, or
            it is part of the input.
        RecipeError: an override is mistaken.
        ModelError: there is no whole model.
    """
    if output.suffix not in (".parquet", ".csv", ".jsonl"):
        raise DataError(f"{output} does not end in .parquet, .csv or .jsonl; name the output so.")
    if output.is_dir():
        raise DataError(f"{output} cannot be written (it is a folder); name a file in it.")
    served = load(model)
    whose = domain or (served.columns.get("domain") if served.by_domain else None)
    source = source_like(served, input, overrides, text=text, text_pair=text_pair, domain=whose, id=id)
    _spare(source, output)
    guessed = source.domain if domain is None and source.domain == whose else None
    if isinstance(served, TargetModels) and served.shared is None:
        if source.domain is None:
            raise DataError(f"{input}: name the column of the domains with --domain. {known_targets(served.domains)}")
        rows = rows_of(source, whose=known_targets(served.domains))
    else:
        rows = rows_of(source, optional=guessed)
    if batch_tokens is not None:
        served.use_batch_tokens(batch_tokens)
    parts = _open_parts(output, model, source)
    finished = _answer_chunks(served, rows, source, parts)
    with writing(output):
        _join(finished, output, served.tasks)
    tell(served, finished)
    shutil.rmtree(parts)
    return output


def _spare(source: FileSource, output: Path) -> None:
    """Raise DataError where ``output`` would take the place of what is read, or be read with it the next time."""
    if finds(source.path, output) or output.resolve() in {found.path.resolve() for found in source.files()}:
        raise DataError(
            f"{output} is part of the input {source.path}, or would be when that is read again; name another file."
        )


def _answer_chunks(model: Model, rows: Iterator[Row], source: FileSource, parts: Path) -> list[Path]:
    """One file in ``parts`` for each chunk of ``rows``; those that are there already are not answered again."""
    finished = []
    with bar("predict") as progress:
        done = total = 0
        for number, chunk in enumerate(_chunks(rows)):
            part = parts / f"{number:08d}.parquet"
            if not part.is_file():
                partial = part.with_suffix(".partial")
                _answer(model, chunk, number * CHUNK, source).to_parquet(partial, index=False)
                partial.replace(part)
            finished.append(part)
            done += len(chunk)
            total = total or length_of(source)
            progress(done, max(done, total))
    return finished


def _chunks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while chunk := list(itertools.islice(rows, CHUNK)):
        yield chunk


def _answer(model: Model, chunk: list[Row], start: int, source: FileSource) -> pd.DataFrame:
    import pandas as pd

    problems = [row.problem for row in chunk]
    if isinstance(model, TargetModels):
        problems = [row.problem or model.refusal(row.domain) for row in chunk]
    readable = [place for place, problem in enumerate(problems) if problem is None]
    asked = [chunk[place] for place in readable]
    pairs = None if source.text_pair is None else [row.text_pair for row in asked]
    answers = model.predict([row.text for row in asked], pairs, domain=[row.domain for row in asked])
    table = answers.set_index(pd.Index(readable)).reindex(range(len(chunk)))
    ids = [str(start + place) if source.id is None else row.id for place, row in enumerate(chunk)]
    table.insert(0, "id", pd.Series(ids, dtype="str"))
    if source.domain is not None:
        table.insert(1, "domain", pd.Series([row.domain for row in chunk], dtype="str"))
    table[PROBLEM] = pd.Series(problems, dtype="str")
    return table


def _open_parts(output: Path, model: Path, source: FileSource) -> Path:
    """The folder of finished chunks; one left by another model, other files or another way to read them is cleared."""
    several = targets_folder(model)
    model = several or model_folder(model)
    files = sorted(path for path in model.rglob("*") if path.is_file())
    # Of thousands of users' adapters or models, size and time must do: to read them all takes longer than to answer.
    apart = [
        path for path in files if "adapters" in path.relative_to(model).parts or (several and path.parent != several)
    ]
    described = json.dumps([
        source.model_dump(mode="json"), _state(source), CHUNK,
        [hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path not in set(apart)],
        [[path.stat().st_size, path.stat().st_mtime_ns] for path in apart],
    ])  # fmt: skip
    parts = output.with_name(f".{output.name}.parts")
    marker = parts / "of.json"
    if not marker.is_file() or marker.read_text(encoding="utf-8") != described:
        with writing(output):
            shutil.rmtree(parts, ignore_errors=True)
            parts.mkdir(parents=True)
            marker.write_text(described, encoding="utf-8")
    return parts


def _state(source: FileSource) -> str:
    """A hash of which files ``source`` reads, how long they are and when they were changed."""
    digest = hashlib.sha256()
    for found in source.files():
        stat = found.path.stat()
        digest.update(f"{found.path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _join(parts: list[Path], output: Path, tasks: Mapping[str, Task]) -> None:
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
                    _in_cells(table, tasks).to_csv(stream, index=False, header=place == 0)
                else:
                    stream.write(table.to_json(orient="records", lines=True, force_ascii=False))
    partial.replace(output)


def _in_cells(table: pd.DataFrame, tasks: Mapping[str, Task]) -> pd.DataFrame:
    """``table`` with each list of labels as the text that is read as that list; of no label, the separator alone."""
    between = {name: task.head.separator for name, task in tasks.items() if task.head.multilabel}
    cells: dict[str, Any] = {
        name: [None if is_null(labels) else sign.join(labels) or sign for labels in table[name]]
        for name, sign in between.items()
    }
    return table.assign(**cells)
