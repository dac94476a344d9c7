"""How wall time and memory grow with texts, users, labels, text length and processes.

Measured: each point in a fresh process, through a two-layer encoder of random weights (width 128) unless said:
- `features`: texts of ten words encoded into the store, 65,536 at a time (the cells of `memory.py`);
- `prediction`: a file of such texts answered by `nlptl.predict.predict_file`, from CSV to CSV;
- `heads`: per-domain heads of users with 20 texts each, random vectors of width 128, spread given;
- `mixed prediction`: one text a user, each through the user's own LoRA adapter on disk, 64 of them in memory at a time;
- `labels`: one solved head over 1,500 random vectors of width 128, strength chosen on three folds;
- `length`: 256 texts of so many tokens encoded;
- `processes`: one epoch of LoRA on the made mail of `recipes/quickstart.yaml`, default encoder, by torchrun, one thread
  each: the seconds of training only.
The exponent is the slope of log seconds over log size between the two largest points: 1 is in proportion. What it
should be at most stands beside it: attention takes a length's square once it outweighs the matrices, which it does not
before several hundred tokens; labels are solved together, each at the cost of one, with some more steps.

    python benchmarks/growth.py [small|full]

Writes `results/growth.md` and a plot an axis, `results/growth-<axis>.svg`.
"""

from __future__ import annotations

import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import memory
from _paired import RESULTS, cell

from nlptl.report._chart import line_chart

SIZES: dict[str, tuple[tuple[int, ...], tuple[int, ...], str]] = {
    "features": ((1_000, 10_000, 100_000, 1_000_000), (), "1"),
    "prediction": ((1_000, 10_000, 100_000), (1_000_000,), "1"),
    "heads": ((10, 100, 1_000), (10_000,), "1"),
    "mixed prediction": ((10, 100, 1_000), (10_000,), "1"),
    "labels": ((2, 10, 50), (150,), "1"),
    "length": ((32, 64, 128, 256, 512), (), "1 to 2"),
    "processes": ((1, 2), (), "below 0"),
}
"""By axis: the sizes of both, those of `full` alone, and the exponent that cannot be undercut for large sizes."""

Clocked = Callable[[Callable[[], Any]], None]


def prediction(texts: int, folder: Path, clock: Clocked) -> None:
    """CSV to CSV, the model's folder on disk."""
    import torch
    from _random_encoder import made_texts, random_encoder

    import nlptl
    from nlptl.contracts import Task
    from nlptl.encoder.backbone import Backbone
    from nlptl.heads import Linear
    from nlptl.model import Network, TaskHead
    from nlptl.predict import predict_file
    from nlptl.recipe import Encoder

    encoder = random_encoder(folder / "encoder")
    backbone = Backbone.load(Encoder(model=str(encoder), max_length=32, batch_tokens=8192))
    task = Task("spam", Linear(), ("ham", "spam"))
    head = TaskHead(task, "last", torch.nn.Linear(backbone.width, 1))
    model = nlptl.Model(Network(backbone, {"spam": head}), columns={"text": "text"}).save(folder / "model")
    with (folder / "texts.csv").open("w", encoding="utf-8") as stream:
        stream.write("text\n")
        for start in range(0, texts, 65536):
            stream.write("\n".join(made_texts(min(65536, texts - start), 10, seed=start)) + "\n")
    clock(lambda: predict_file(model, folder / "texts.csv", folder / "answers.csv"))


def heads(users: int, folder: Path, clock: Clocked) -> None:
    """The product's own solve of all users' deviations."""
    import numpy as np

    from nlptl.heads._domains import GroupedRows, Spread, deviate

    rng = np.random.default_rng(0)
    count = 20 * users
    targets = (rng.random((count, 1)) < 0.5).astype(np.float64)
    vectors = rng.normal(size=(count, 128)) / math.sqrt(128)
    members = np.split(np.arange(count), users)
    rows = GroupedRows(vectors, targets, np.zeros((count, 1)), members, "sigmoid")
    clock(lambda: deviate(rows, Spread(1.0, 1.0)))


def mixed_prediction(users: int, folder: Path, clock: Clocked) -> None:
    """As `Model.predict` answers for users with adapters of their own."""
    import torch
    from _random_encoder import made_texts, random_encoder

    from nlptl.contracts import Task
    from nlptl.encoder.backbone import Backbone
    from nlptl.heads import Linear
    from nlptl.model import Network, TaskHead
    from nlptl.recipe import Encoder
    from nlptl.saved.bank import own_logits
    from nlptl.tune import Lora
    from nlptl.tune._shelf import Shelf, index, put_away

    backbone = Backbone.load(Encoder(model=str(random_encoder(folder / "encoder")), max_length=32, batch_tokens=8192))
    bank = Lora(per="domain", together=64).stack(backbone)
    head = bank.own_head("spam", torch.nn.Linear(backbone.width, 1))
    names = [str(user) for user in range(users)]
    for user, name in enumerate(names):
        bank.draw(1, torch.Generator().manual_seed(user))
        put_away(bank, 1, name, folder / "shelf", "encoder")
    index(bank, names, folder / "shelf", "encoder")
    network = Network(backbone, {"spam": TaskHead(Task("spam", Linear(), ("ham", "spam")), "last", head)})
    shelf = Shelf(folder / "shelf", bank)
    clock(lambda: own_logits(network, shelf, made_texts(users, 10), None, names))


def labels(count: int, folder: Path, clock: Clocked) -> None:
    """A solved head, as any recipe's."""
    import numpy as np

    from nlptl.contracts import Task
    from nlptl.heads import Linear
    from nlptl.heads._solved import solve_head

    rng = np.random.default_rng(0)
    encoded = np.arange(1500) % count
    centres = rng.normal(size=(count, 128))
    vectors = (centres[encoded] + 2 * rng.normal(size=(1500, 128))).astype(np.float32)
    place = rng.permutation(1500) % 3
    folds = [(np.flatnonzero(place != fold), np.flatnonzero(place == fold)) for fold in range(3)]
    task = Task("topic", Linear(), tuple(f"label {number}" for number in range(count)))
    clock(lambda: solve_head(task, {"last": vectors}, encoded, folds))


def length(tokens: int, folder: Path, clock: Clocked) -> None:
    """As long texts as `max_length` lets through."""
    from _random_encoder import made_texts, random_encoder

    from nlptl.encoder.backbone import Backbone
    from nlptl.encoder.store import encode
    from nlptl.recipe import Encoder

    encoder = random_encoder(folder / "encoder", positions=512)
    backbone = Backbone.load(Encoder(model=str(encoder), max_length=tokens, batch_tokens=8192))
    texts = made_texts(256, tokens)
    encode(backbone, texts[:16], readings=("last",), store=None)  # what is set up once
    clock(lambda: encode(backbone, texts, readings=("last",), store=None))


def processes(count: int, folder: Path, clock: Clocked) -> None:
    """The command itself, under torchrun."""
    recipe = Path(__file__).parents[1] / "recipes" / "quickstart.yaml"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
    command += ["-m", "nlptl", "run", str(recipe), "--out", str(folder / "run")]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    seconds = json.loads((folder / "run" / "results.json").read_text(encoding="utf-8"))["seconds"]["train"]
    clock(lambda: seconds)


def child(axis: str, size: int) -> None:
    """Measure one point and print it."""
    found: dict[str, Any] = {"size": size}

    def clock(work: Callable[[], Any]) -> None:
        found["before_mb"] = _peak()
        began = time.perf_counter()
        told = work()
        # Of processes of their own, the work says itself how long it took.
        found["seconds"] = told if isinstance(told, float) else time.perf_counter() - began

    with tempfile.TemporaryDirectory() as folder:
        os.environ["NLPTL_CACHE"] = f"{folder}/cache"
        globals()[axis.replace(" ", "_")](size, Path(folder), clock)
    print(json.dumps(found | {"peak_mb": max(_peak(), _peak(resource.RUSAGE_CHILDREN))}))


def _peak(who: int = resource.RUSAGE_SELF) -> float:
    return resource.getrusage(who).ru_maxrss / 1024


def measure(axis: str, size: int) -> dict[str, Any]:
    """In a fresh process."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", axis, str(size)], check=True, stdout=subprocess.PIPE, text=True
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def report() -> None:
    """The table and the plots of all points that are there."""
    points = _points()
    lines = [
        "# Growth", "", "Made by `python benchmarks/growth.py`, which says what each axis is; each point a process of",
        "its own. Exponent: of the seconds, between the two largest sizes.", "",
        "| axis | size | seconds | peak MB | exponent | at most |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for axis, found in points.items():
        for place, point in enumerate(found):
            last = place == len(found) - 1 and place > 0
            slope = f"{_slope(found[place - 1], point):.2f}" if last else ""
            lines.append(
                f"| {axis} | {point['size']:,} | {point['seconds']:.2f} | {point['peak_mb']:.0f} | {slope} "
                f"| {SIZES[axis][2] if last else ''} |"
            )
        (RESULTS / f"growth-{axis.replace(' ', '-')}.svg").write_text(_svg(axis, found), encoding="utf-8")
    (RESULTS / "growth.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _points() -> dict[str, list[dict[str, Any]]]:
    kept = {file: RESULTS / f"{file}.json" for file in ("growth", "memory")}
    cells = {file: json.loads(path.read_text(encoding="utf-8")) for file, path in kept.items() if path.is_file()}
    points: dict[str, list[dict[str, Any]]] = {axis: [] for axis in SIZES}
    points["features"] = [found | {"size": found["texts"]} for found in cells.get("memory", {}).values()]
    for name, found in cells.get("growth", {}).items():
        points[name.rsplit(",", 1)[0]].append(found)
    return {axis: sorted(found, key=lambda each: each["size"]) for axis, found in points.items() if found}


def _slope(before: dict[str, Any], after: dict[str, Any]) -> float:
    return math.log(after["seconds"] / before["seconds"]) / math.log(after["size"] / before["size"])


def _svg(axis: str, found: list[dict[str, Any]]) -> str:
    """Both axes logarithmic; the grey line goes through the last point and grows in proportion."""
    line = [(math.log10(point["size"]), math.log10(point["seconds"])) for point in found]
    (first, _), (last_x, last_y) = line[0], line[-1]
    proportion = [(first, last_y - (last_x - first)), (last_x, last_y)]
    chart = line_chart(axis, {"seconds": line, "in proportion": proportion})
    ticks = [
        f'<text x="{x}" y="{chart.height - 6}" text-anchor="middle">{10 ** float(text):,.0f}</text>'
        for x, text in chart.x_ticks
    ] + [f'<text x="{chart.left - 6}" y="{y}" text-anchor="end">{10 ** float(text):.3g} s</text>'
         for y, text in chart.y_ticks]  # fmt: skip
    (_, ours, _), (_, straight, _) = chart.lines
    dots = "".join('<circle cx="{}" cy="{}" r="3"/>'.format(*pair.split(",")) for pair in ours.split())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {chart.width + 30} {chart.height}" font-size="11" '
        f'font-family="sans-serif"><title>{axis}: seconds by size, both logarithmic</title>\n'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(ticks)}\n'
        f'<polyline points="{straight}" fill="none" stroke="#bbb" stroke-dasharray="4"/>\n'
        f'<polyline points="{ours}" fill="none" stroke="#26c" stroke-width="2"/><g fill="#26c">{dots}</g></svg>\n'
    )


def main(extent: str = "small") -> None:
    """Every point of every axis."""
    texts, more, _ = SIZES["features"]
    memory.main(",".join(map(str, texts + (more if extent == "full" else ()))))
    for axis, (small, full, _) in SIZES.items():
        for size in () if axis == "features" else small + (full if extent == "full" else ()):
            cell("growth", f"{axis}, {size}", lambda axis=axis, size=size: measure(axis, size))
    report()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], int(sys.argv[3]))
    else:
        main(*sys.argv[1:])
