"""Is anyone worse off with ``transfer.choose: auto`` than with a simple system? Every domain as target, in turn.

    python benchmarks/never_worse.py DATA_FOLDER [SEEDS] [SCRATCH_FOLDER]

Data: ``enron_spam_4users.parquet`` and ``reviews_10domains.parquet`` in DATA_FOLDER; 400 rows a domain by seed (800
of the reviews, half of which have no label), half of the target's scored, leak guard on; 0, 8 or 64 of its labels a
class teach. All systems answer the same rows and are taught by the same ones: ``auto``, the source-only global head
(the k labels pooled with the sources'), TF-IDF + logistic regression, the frozen probe, and the target's labels
alone. Heads read the last layer beside the mean of all layers, with words; baselines choose their strength on the
same folds.

A cell is one target at one number of labels, its seeds together: the exact McNemar test with one vote a distinct row,
Holm over all cells and opponents. Each (data set, labels, seed) is written as it ends, and skipped when run again.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

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
RESULTS = Path(__file__).parent / "results"


def recipe(folder: Path, data: str, shown: int, seed: int) -> nlptl.Recipe:
    """One run: every domain of ``data`` in turn the target."""
    of_data = DATA[data]
    return nlptl.Recipe(
        name=f"{data}-{shown}-{seed}",
        seed=seed,
        data={
            "kind": "parquet",
            "path": str(folder / f"{data}.parquet"),
            "domain": of_data["domain"],
            "sample": of_data["sample"],
        },
        transfer={"protocol": "leave_one_out", "target_labels": shown, "hold_out": 0.5, "choose": "auto"},
        encoder={"pool": "both", "lexical": "tfidf"},
        heads={"task": {"kind": "linear", "column": "label", "labels": of_data["labels"]}},
        evaluate={"metrics": ["accuracy"], "bootstrap": 100},
    )


def right_answers(folder: Path) -> list[dict[str, Any]]:
    """By domain: ids of the scored rows, and for each system which of them it answered rightly."""
    scored = Predictions.load(folder / "predictions.parquet").by_domain("task")
    return [
        {
            "domain": domain,
            "shipped": str(part.shipped[0]),
            "ids": part.ids.tolist(),
            "right": {name: correct(p, part.labels).astype(int).tolist() for name, p in part.probabilities.items()},
        }
        for domain, [part] in scored.items()
    ]


def table(cells: dict[str, list[dict[str, Any]]]) -> tuple[str, dict[str, Any]]:
    """The Markdown table of all finished cells, and what it says in numbers."""
    groups: dict[tuple[str, int, str], list[dict[str, Any]]] = {}
    for key, domains in cells.items():
        data, shown, _ = key.split("/")
        for each in domains:
            groups.setdefault((data, int(shown), each["domain"]), []).append(each)
    tests, lines = [], []
    for (data, shown, domain), parts in sorted(groups.items()):
        ids = np.concatenate([part["ids"] for part in parts])

        def right(system: str, parts: list[dict[str, Any]] = parts) -> Any:
            return np.concatenate([np.array(part["right"][system], dtype=bool) for part in parts])

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
    means: dict[str, dict[str, float]] = {}
    for data, shown in sorted({line[:2] for line in lines}):
        here = [line for line in lines if line[:2] == (data, shown)]
        rows += [_row(data, shown, domain, values, " ".join(shipped)) for _, _, domain, values, shipped in here]
        mean = {name: float(np.mean([line[3][name] for line in here])) for name in here[0][3]}
        means[f"{data}/{shown}"] = mean
        rows.append(_row(data, shown, "**mean**", mean, ""))
    said = [f"Significantly worse (Holm over {len(tests)} comparisons): {len(worse)}.", *worse]
    return "\n".join([*rows, "", *said, ""]), {"means": means, "worse": worse, "comparisons": len(tests)}


def _row(data: str, shown: int, domain: str, values: dict[str, float], shipped: str) -> str:
    shown_values = [f"{values[name]:.3f}" if name in values else "" for name in ("model", *OPPONENTS)]
    return f"| {data} | {shown} | {domain} | " + " | ".join(shown_values) + f" | {shipped} |"


def main() -> None:
    """Run what is not finished yet, then print the table."""
    folder, seeds = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3
    scratch = Path(sys.argv[3] if len(sys.argv) > 3 else "runs") / "never_worse"
    cells: dict[str, list[dict[str, Any]]] = {}
    for seed in range(seeds):
        for data in DATA:
            for shown in SHOWN:
                made, out = recipe(folder, data, shown, seed), scratch / f"{data}-{shown}-{seed}"
                if not (out / "results.json").is_file():
                    nlptl.fit(made, out=out, resume=out.is_dir())
                cells[f"{data}/{shown}/{seed}"] = right_answers(out)
                text, numbers = table(cells)
                (RESULTS / "never_worse.md").write_text(text, encoding="utf-8")
                (RESULTS / "never_worse.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
