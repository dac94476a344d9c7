"""Ratios of wall times, measured side by side: what is compared runs in turn, repeat after repeat, in one process.

A ratio is taken within each repeat, so that a machine that slows down for a while slows both; the median and the range
over the repeats are kept. A file of results is made of cells; a cell that is there is not measured again (delete it, or
the file, to do so).
"""

from __future__ import annotations

import gc
import json
import os
import platform
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # else transformers' pipeline turns it off, for us too
RESULTS = Path(os.environ.get("BENCH_RESULTS", Path(__file__).parent / "results"))
RESULTS.mkdir(exist_ok=True)
PACKAGES = ("torch", "transformers", "peft", "accelerate", "sentence-transformers", "onnxruntime", "scikit-learn")


def paired(
    systems: Mapping[str, Callable[[], Any]], *, repeats: int = 5, warm: bool = True, begin: int = 0
) -> dict[str, Any]:
    """Run each of ``systems`` once a repeat, in an order that turns; the first is ours, and ratios are theirs to ours.

    ``processor`` holds the ratios of processor time, which others on the machine disturb less than wall time.

    Args:
        warm: run each once before, untimed.
        begin: the place of the one that runs first in the first repeat.
    """
    names = list(systems)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    busy: dict[str, list[float]] = {name: [] for name in names}
    for name in names if warm else ():
        systems[name]()
    for repeat in range(repeats):
        first = (repeat + begin) % len(names)
        turned = names[first:] + names[:first]
        for name in turned:
            gc.collect()
            began, used = time.perf_counter(), _processor()
            systems[name]()
            seconds[name].append(time.perf_counter() - began)
            busy[name].append(_processor() - used)

    def ratios(times: Mapping[str, list[float]]) -> dict[str, list[float]]:
        first = times[names[0]]
        return {name: [one / ours for one, ours in zip(times[name], first, strict=True)] for name in names[1:]}

    wall = ratios(seconds)
    return {
        "seconds": {name: statistics.median(times) for name, times in seconds.items()},
        "ratio": {name: statistics.median(each) for name, each in wall.items()},
        "range": {name: [min(each), max(each)] for name, each in wall.items()},
        "processor": {name: statistics.median(each) for name, each in ratios(busy).items()},
        "repeats": repeats,
    }


def _processor() -> float:
    """Seconds of processor time so far, of this process and of those that it waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except Exception:
            continue
    model = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if "model name" in line), "")
    return {
        "processor": model or platform.processor(), "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1),
        "threads": os.environ.get("OMP_NUM_THREADS", "all"), "python": platform.python_version(), "versions": found,
        "commit": os.environ.get("BENCH_COMMIT") or _commit(), "card": _card(),
    }  # fmt: skip


def _commit() -> str:
    """Of this checkout; a copy without one is told by BENCH_COMMIT."""
    asked = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(asked, capture_output=True, text=True, cwd=Path(__file__).parent).stdout.strip()


def _card() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def cell(file: str, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result ``name`` of ``results/<file>.json``: as it is there, or measured now and written."""
    path = RESULTS / f"{file}.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if name not in kept:
        print(f"{file}: {name} …", flush=True)
        found = measure() | {"machine": machine()}
        kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        kept[name] = found
        path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        table()
    shown = {key: value for key, value in kept[name].items() if key != "machine"}
    print(f"{file}: {name}: {json.dumps(shown)}", flush=True)
    return dict(kept[name])


def table() -> None:
    """Write ``results/ratios.md``: every ratio of every file of cells."""
    lines = [
        "# Ratios",
        "",
        "Theirs to ours, median of paired repeats [lowest, highest], in wall and in processor time; made from the JSON",
        "beside it, which holds machine, versions and commit. `load`: processes that wanted the cores when it ended.",
        "",
        "| benchmark | cell | against | wall | processor | repeats | cores | load |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for path in sorted(RESULTS.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        cells = content if isinstance(content, dict) else {}
        for name, found in cells.items():
            if not isinstance(found, dict) or "ratio" not in found or not isinstance(found["ratio"], dict):
                continue
            for other, ratio in found["ratio"].items():
                low, high = found["range"][other]
                about = found["machine"]
                lines.append(
                    f"| {path.stem} | {name} | {other} | {ratio:.2f} [{low:.2f}, {high:.2f}] "
                    f"| {found['processor'][other]:.2f} | {found['repeats']} "
                    f"| {about['cores']} | {about['load']} |"
                )
    (RESULTS / "ratios.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines() if Path(path).is_file() else []
