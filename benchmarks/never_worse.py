"""Is anyone worse off with ``transfer.choose: auto`` than with a simple system? Every domain as target, in turn.

    python benchmarks/never_worse.py run solved|lora DATA_FOLDER [--seeds N] [--data NAME] [--labels K] [--jobs N]
    python benchmarks/never_worse.py table

Data: ``enron_spam_4users.parquet`` and ``reviews_10domains.parquet`` in DATA_FOLDER; 400 rows a domain by seed (800
of the reviews, half of which have no label), half of the target's scored, leak guard on; 0, 8 or 64 of its labels a
class teach (or LABELS alone). All systems answer the same rows and are taught by the same ones: ``auto``, the
source-only global head (the k labels pooled with the sources'), TF-IDF + logistic regression, the frozen probe, and the
target's labels alone. Heads read the last layer beside the mean of all layers, with words; baselines choose their
strength on the same folds.

``lora`` has LoRA among the candidates, one epoch at its defaults, 64 tokens, rehearsed by one training a target and
seed, which a third of the sources is held out of; it is trained in earnest where it is to serve.

A cell is one target at one number of labels, its seeds together: the exact McNemar test with one vote a distinct row,
Holm over all cells and opponents. Each (candidates, data set, labels, seed) is a line of ``results/never_worse.jsonl``,
written as it ends, and skipped when run again: bits of right answers, and 32 bits of a hash of each row's id. With
``--jobs`` so many of them run at a time, in processes of one thread each that share the card where there is one.
"""

import argparse
import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from _jobs import in_processes
from _paired import RESULTS

import nlptl
from nlptl.evaluate._scores import correct
from nlptl.evaluate.compare import holm, mcnemar
from nlptl.evaluate.predictions import Predictions

DATA: dict[str, dict[str, Any]] = {
    "enron_spam_4users": {"domain": "user", "sample": 400, "labels": ["ham", "spam"]},
    "reviews_10domains": {"domain": "domain", "sample": 800, "labels": ["negative", "positive"]},
}
SHOWN = (0, 8, 64)
OPPONENTS = {"solved": "source-only", "tfidf": "tfidf", "probe": "probe", "target_only": "target-only"}
CELLS = RESULTS / "never_worse.jsonl"
CANDIDATES: dict[str, dict[str, Any]] = {
    "solved": {"encoder": {"max_length": 128}, "tune": {"kind": "frozen"}},
    "lora": {"encoder": {"max_length": 64}, "tune": {"kind": "lora"}},
}


def recipe(candidates: str, folder: Path, data: str, shown: int, seed: int) -> nlptl.Recipe:
    """One run: every domain of ``data`` in turn the target."""
    of_data, of_candidates = DATA[data], CANDIDATES[candidates]
    return nlptl.Recipe(
        name=f"{data}-{shown}-{seed}",
        seed=seed,
        data={
            "kind": "parquet",
            "path": str(folder / f"{data}.parquet"),
            "domain": of_data["domain"],
            "sample": of_data["sample"],
        },
        transfer={
            "protocol": "leave_one_out",
            "target_labels": shown,
            "hold_out": 0.5,
            "choose": "auto",
            "rehearsals": 1,
        },
        encoder={"pool": "both", "lexical": "tfidf", **of_candidates["encoder"]},
        tune=of_candidates["tune"],
        heads={"task": {"kind": "linear", "column": "label", "labels": of_data["labels"]}},
        evaluate={"metrics": ["accuracy"], "bootstrap": 100},
    )


def right_answers(folder: Path) -> list[dict[str, Any]]:
    """By domain: a hash of each scored row's id, and for each system which of them it answered rightly, in hex."""
    scored = Predictions.load(folder / "predictions.parquet").by_domain("task")
    return [
        {
            "domain": domain,
            "shipped": str(part.shipped[0]),
            "ids": "".join(hashlib.sha256(str(row_id).encode()).hexdigest()[:8] for row_id in part.ids),
            "right": {
                name: np.packbits(correct(part.probabilities[name], part.labels)).tobytes().hex()
                for name in ("model", *OPPONENTS)
                if name in part.probabilities
            },
        }
        for domain, [part] in scored.items()
    ]


def unpacked(part: dict[str, Any]) -> dict[str, Any]:
    """The same with arrays."""
    ids = np.array([part["ids"][place : place + 8] for place in range(0, len(part["ids"]), 8)])
    bits = {name: np.frombuffer(bytes.fromhex(text), dtype=np.uint8) for name, text in part["right"].items()}
    right = {name: np.unpackbits(of, count=len(ids)).astype(bool) for name, of in bits.items()}
    return {**part, "ids": ids, "right": right}


def table(cells: list[dict[str, Any]]) -> str:
    """The Markdown table of the finished cells."""
    groups: dict[tuple[str, int, str], list[dict[str, Any]]] = {}
    for cell in cells:
        for each in cell["domains"]:
            groups.setdefault((cell["data"], cell["labels"], each["domain"]), []).append(unpacked(each))
    tests, lines = [], []
    for (data, shown, domain), parts in sorted(groups.items()):
        ids = np.concatenate([part["ids"] for part in parts])

        def right(system: str, parts: list[dict[str, Any]] = parts) -> Any:
            return np.concatenate([part["right"][system] for part in parts])

        systems = [name for name in OPPONENTS if name in parts[0]["right"]]
        tests += [(data, shown, domain, name, mcnemar(right("model"), right(name), ids)) for name in systems]
        accuracies = {name: float(right(name).mean()) for name in ("model", *systems)}
        lines.append((data, shown, domain, accuracies, [part["shipped"] for part in parts]))
    adjusted = holm([test.p for *_, test in tests])
    worse = [
        f"{data}, {domain}, {shown} labels: worse than {OPPONENTS[name]} ({test.only_a} : {test.only_b}, p {p:.3g})"
        for (data, shown, domain, name, test), p in zip(tests, adjusted, strict=True)
        if p <= 0.05 and test.only_a < test.only_b
    ]
    head = "| data | labels a class | target | auto | " + " | ".join(OPPONENTS.values()) + " | shipped |"
    rows = [head, "|---" * (head.count("|") - 1) + "|"]
    for data, shown in sorted({line[:2] for line in lines}):
        here = [line for line in lines if line[:2] == (data, shown)]
        rows += [_row(data, shown, domain, values, " ".join(shipped)) for _, _, domain, values, shipped in here]
        rows.append(_row(data, shown, "**mean**", _mean(here), ""))
    for shown in sorted({line[1] for line in lines}):
        here = [line for line in lines if line[1] == shown]
        rows.append(_row("both", shown, "**mean of all targets**", _mean(here), ""))
    said = [f"Significantly worse (Holm over {len(tests)} comparisons): {len(worse)}.", *worse]
    return "\n".join([*rows, "", *said, ""])


def _mean(lines: list[Any]) -> dict[str, float]:
    return {name: float(np.mean([line[3][name] for line in lines])) for name in lines[0][3]}


def _row(data: str, shown: int, domain: str, values: dict[str, float], shipped: str) -> str:
    shown_values = [f"{values[name]:.3f}" if name in values else "" for name in ("model", *OPPONENTS)]
    return f"| {data} | {shown} | {domain} | " + " | ".join(shown_values) + f" | {shipped} |"


def finished() -> list[dict[str, Any]]:
    """The cells that are there."""
    return [json.loads(line) for line in CELLS.read_text(encoding="utf-8").splitlines()] if CELLS.is_file() else []


def run_one(candidates: str, data: str, shown: int, seed: int, folder: Path, scratch: Path | None) -> None:
    """One line of the results."""
    out = (scratch or Path(tempfile.mkdtemp())) / f"{candidates}-{data}-{shown}-{seed}"
    nlptl.fit(recipe(candidates, folder, data, shown, seed), out=out, resume=out.is_dir())
    lock = json.loads((out / "lock.json").read_text(encoding="utf-8"))
    domains = right_answers(out)
    cell = {
        "candidates": candidates, "data": data, "labels": shown, "seed": seed, "on": lock["device"], "domains": domains,
    }  # fmt: skip
    with CELLS.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(cell) + "\n")
    print(candidates, data, shown, seed, [domain["shipped"] for domain in domains], flush=True)


def run(candidates: str, folder: Path, asked: argparse.Namespace) -> None:
    """Run what is not finished yet."""
    names, labels = asked.data or list(DATA), asked.labels or list(SHOWN)
    done = {(cell["candidates"], cell["data"], cell["labels"], cell["seed"]) for cell in finished()}
    every = [(candidates, data, shown, seed) for seed in range(asked.seeds) for data in names for shown in labels]
    in_processes(run_one, [(*key, folder, asked.scratch) for key in every if key not in done], asked.jobs)


def written() -> str:
    """Both tables as Markdown."""
    text = [
        "# Is anyone worse off with `choose: auto`?",
        "",
        "Made by `python benchmarks/never_worse.py table` from the cells beside it; that file",
    ]
    text += ["tells what is compared. One rung shipped is shown for each seed."]
    for candidates in CANDIDATES:
        cells = [cell for cell in finished() if cell["candidates"] == candidates]
        if cells:
            text += ["", f"## Candidates: {candidates}", "", table(cells)]
    return "\n".join(text)


def main() -> None:
    """Run, or write the table."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("table")
    running = commands.add_parser("run")
    running.add_argument("candidates", choices=tuple(CANDIDATES))
    running.add_argument("folder", type=Path)
    running.add_argument("--seeds", type=int, default=3)
    running.add_argument("--data", choices=tuple(DATA), action="append")
    running.add_argument("--labels", type=int, choices=SHOWN, action="append")
    running.add_argument("--scratch", type=Path)
    running.add_argument("--jobs", type=int, default=1)
    asked = parser.parse_args()
    if asked.command == "table":
        (RESULTS / "never_worse.md").write_text(written(), encoding="utf-8")
        print(written())
    else:
        run(asked.candidates, asked.folder, asked)


if __name__ == "__main__":
    main()
