"""No label at all: label names and descriptions, calibrated on unlabelled texts, beside plain cosine similarity.

Compared on the scored rows of `_sets.py`: the commonest label; plain cosine of text and label (last layer, phrasings
averaged); our `label_names` head with calibration alone (`rounds: 0, self_training: 0`), with one step towards the
clusters of the texts (`self_training: 0`), and as it is by default, with a self-trained student beside it. 1,000 texts
of the part that is not scored are read without their labels.

Every cell (set, wording, system) is an entry of `results/zero_shot.json`, written as it ends; cells that are there are
not run again, so that the command can be stopped and started. `results/zero_shot.md` is the table of them.

    python benchmarks/zero_shot.py DATA_FOLDER
"""

from __future__ import annotations

import json
import os
import sys
from functools import cache
from pathlib import Path

import numpy as np
from _sets import DESCRIPTIONS, NAMES, LabelledSet, load

from nlptl.contracts import Task
from nlptl.encoder.backbone import Backbone, resolve_precision
from nlptl.encoder.store import FeatureStore, encode
from nlptl.evaluate.compare import mcnemar
from nlptl.fitting.heads import embed_names
from nlptl.heads import LabelNames
from nlptl.heads._evidence import Evidence
from nlptl.heads._names import cosine_answers, label_vectors
from nlptl.heads._reading import CHOICES, parts
from nlptl.model import TaskHead
from nlptl.recipe import Encoder

RESULTS = Path(__file__).parent / "results"
CELLS = RESULTS / "zero_shot.json"
SETS = ("ag_news_test", "sst2_sentences", "subj", "sms_spam")
WORDINGS = {"names": NAMES, "descriptions": DESCRIPTIONS}
OURS = {
    "calibrated": {"rounds": 0, "self_training": 0},
    "towards clusters": {"self_training": 0},
    "self-training": {},
}
SYSTEMS = ("majority", "cosine", *OURS)
NOTES = """
Scored: accuracy; beneath each of ours the p value of its exact McNemar test against cosine on the same rows (not
corrected for the number of cells). Majority knows the commonest label, which nobody without labels does.

What was looked at: the wordings were written before any score. The form of the self-training (a student of the surest
fifth, three rounds, its vote weighed by how far two halves agree) and its constants were chosen among some sixty
variants by the labels of the 1,000 *unlabelled* rows of these four sets. Its scored cells were seen once before, with a
mistake in the student's intercept; nothing but that was changed after. The step
towards clusters was compared at 0 to 20 rounds on the scored rows, and its default of 1 was left as it was.
"""


@cache
def encoder() -> Backbone:
    """The default encoder, frozen as the toolkit freezes it here."""
    return Backbone.load(Encoder()).freeze(resolve_precision("auto", "cpu"))


@cache
def vectors(name: str, folder: Path) -> tuple[LabelledSet, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """A set, and by reading the vectors of its scored rows and of its unlabelled ones."""
    data = load(name, folder)
    read = [
        encode(encoder(), list(data.texts[rows]), readings=parts(CHOICES["auto"]), store=FeatureStore.of(encoder()))
        for rows in (data.scored, data.unlabelled)
    ]
    return data, *({r: np.concatenate([v[p] for p in parts([r])], axis=1) for r in CHOICES["auto"]} for v in read)


def answers(name: str, wording: str, system: str, folder: Path) -> np.ndarray:
    """(scored rows,) labels by ``system``."""
    data, scored, unlabelled = vectors(name, folder)
    if system == "majority":
        return np.full(len(data.scored), np.bincount(data.classes[data.scored]).argmax())
    head = LabelNames(names=WORDINGS[wording][name], **OURS.get(system, {}))
    task = Task("label", head, data.labels)
    called = embed_names(encoder(), task, "auto")
    if system == "cosine":
        return cosine_answers(scored["last"], label_vectors(called["last"])).argmax(1)
    nothing = {reading: v[:0] for reading, v in scored.items()}
    solved = head.solve(Evidence(task, nothing, np.empty(0, np.int64), [], unlabelled, called))
    return task.probabilities(
        TaskHead(task, "all", solved.net)({"all": _tensor(scored[solved.reading])}).detach().numpy()
    ).argmax(1)


def _tensor(values: np.ndarray):
    import torch

    return torch.as_tensor(values)


def main(folder: str) -> None:
    """Run the cells that are missing, then write the table."""
    cells = read_cells()
    for name in SETS:
        for wording in WORDINGS:
            for system in SYSTEMS:
                if (name, wording, system) not in cells:
                    data, *_ = vectors(name, Path(folder))
                    right = answers(name, wording, system, Path(folder)) == data.classes[data.scored]
                    cells[name, wording, system] = {"accuracy": round(float(right.mean()), 4), "right": _packed(right)}
                    write(cells)
                    print(name, wording, system, cells[name, wording, system]["accuracy"], flush=True)
    (RESULTS / "zero_shot.md").write_text(table(cells), encoding="utf-8")


Cells = dict[tuple[str, str, str], dict[str, object]]


def read_cells() -> Cells:
    """The finished cells by (set, wording, system)."""
    found = json.loads(CELLS.read_text(encoding="utf-8")) if CELLS.is_file() else {}
    return {tuple(key.split(" / ")): cell for key, cell in found.items()}


def write(cells: Cells) -> None:
    """All cells, whole or not at all."""
    partial = CELLS.with_suffix(".partial")
    partial.write_text(
        json.dumps({" / ".join(k): cell for k, cell in cells.items()}, indent=1) + "\n", encoding="utf-8"
    )
    partial.replace(CELLS)


def _packed(right: np.ndarray) -> str:
    return np.packbits(right).tobytes().hex()


def _unpacked(packed: object, rows: int) -> np.ndarray:
    return np.unpackbits(np.frombuffer(bytes.fromhex(str(packed)), np.uint8))[:rows].astype(bool)


def table(cells: Cells) -> str:
    """The markdown table of all cells."""
    lines = ["# Zero-shot: no labels, 1,000 scored rows a set", "", "`python benchmarks/zero_shot.py DATA_FOLDER`", ""]
    lines += [f"| set | wording | {' | '.join(SYSTEMS)} |", f"|---|---|{'---|' * len(SYSTEMS)}"]
    for name in SETS:
        for wording in WORDINGS:
            row = []
            for system in SYSTEMS:
                cell = cells[name, wording, system]
                p = ""
                if system in OURS:
                    ours, cosine = (_unpacked(cells[name, wording, s]["right"], 1000) for s in (system, "cosine"))
                    p = f" ({mcnemar(ours, cosine).p:.2g})"
                row.append(f"{cell['accuracy']:.3f}{p}")
            lines.append(f"| {name} | {wording} | {' | '.join(row)} |")
    means = (np.mean([float(str(cells[n, w, s]["accuracy"])) for n in SETS for w in WORDINGS]) for s in SYSTEMS)
    lines.append(f"| mean | | {' | '.join(f'{mean:.3f}' for mean in means)} |")
    return "\n".join(lines) + "\n" + NOTES


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main(*sys.argv[1:])
