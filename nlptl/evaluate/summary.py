"""From predictions to numbers: the ``tasks`` part of ``results.json``.

``overall`` is the mean over domains, so that a user with few mails counts as much as one with many; ``pooled`` is over
all rows together. With several seeds, numbers are means over the seeds, and ``seeds`` holds each seed's own. Intervals
are explained in ``nlptl.evaluate.intervals``. A metric that the rows cannot show is None, with the reason under
``undefined``; means pass over it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nlptl.evaluate._measure import Measured, distinct, lent, mean_over, measure, rows_of, scores, together, votes
from nlptl.evaluate._reliability import reliability
from nlptl.evaluate._scores import decide
from nlptl.evaluate.baselines import BASELINES
from nlptl.evaluate.compare import Mcnemar, holm
from nlptl.evaluate.intervals import around, draw_seeds, with_phantom
from nlptl.evaluate.predictions import MODEL, Predictions, Scored, joined
from nlptl.evaluate.scorers import Scorer, scorers

if TYPE_CHECKING:
    from evaluate import EvaluationModule

    from nlptl.contracts import Floats, Task
    from nlptl.recipe import Evaluate

CONTENDERS = ("tfidf", "probe")
"""The baselines whose better one must be beaten for transfer to be worth its cost."""


def summarise(
    predictions: Predictions,
    tasks: Iterable[Task],
    settings: Evaluate,
    *,
    seed: int,
    metrics: Sequence[str | EvaluationModule] | None = None,
) -> dict[str, Any]:
    """The ``tasks`` part of ``results.json``, ready to be written: plain values, None for what is undefined.

    Args:
        settings: names the metrics and the number of resamples.
        seed: of the bootstrap.
        metrics: instead of ``settings.metrics``; Python code may pass modules of ``evaluate`` that it loaded.

    Returns:
        For each task ``labels``, ``overall``, ``overall_ci95``, ``pooled``, ``domains``, ``baselines`` and ``rungs``
        (the other systems), ``gains`` (of the model's accuracy over each of them, and over the better of tfidf and
        probe, chosen domain by domain as the more accurate one on the very rows scored, which favours the baselines),
        ``confusion`` (rows: truth, columns: answers, summed over seeds; for a multilabel task one such 2 × 2 table a
        label), ``reliability`` (the bins behind ``ece``, all seeds together) and ``seeds``. ``docs/results.md`` says
        what the keys of each mean.
    """
    wanted = tuple(settings.metrics if metrics is None else metrics)
    return {
        task.name: _summarise_task(predictions, task, scorers(wanted, task, max_loss=settings.max_loss), settings, seed)
        for task in tasks
    }


def _summarise_task(
    predictions: Predictions, task: Task, asked: list[Scorer], settings: Evaluate, seed: int
) -> dict[str, Any]:
    # Accuracy is always measured, for the gains; it comes last, where it is not shown twice.
    measured_by = [*asked, *scorers(["accuracy"], task, max_loss=settings.max_loss)]
    by_domain, seeds = predictions.by_domain(task.name), predictions.seeds(task.name)
    if not by_domain:
        return _unscored(task)
    systems = _systems(by_domain)
    rng = np.random.default_rng(seed)
    seed_draws = draw_seeds(len(seeds), resamples=settings.bootstrap, rng=rng)
    measured = {
        name: measure(parts, systems=systems, scorers=measured_by, seeds=seeds, seed_draws=seed_draws, rng=rng)
        for name, parts in by_domain.items()
    }
    domains = lent(measured, rng)
    names = [scorer.name for scorer in asked]
    pooled = _pooled(by_domain, systems, measured_by)
    drawn = together(list(domains.values()), measured_by, rng)
    tables = {system: _system_table(domains, drawn, place, names, pooled) for place, system in enumerate(systems)}
    ours = tables.pop(MODEL)
    for name, of_domain in domains.items():
        ours["domains"][name] = _domain_facts(of_domain.parts) | ours["domains"][name]
        ours["domains"][name] |= {"undefined": {m: r for m, r in of_domain.reasons.items() if m in names}}
    return {
        "labels": list(task.labels),
        "positive": task.head.positive,
        **ours,
        "baselines": {system: table for system, table in tables.items() if system in BASELINES},
        "rungs": {system: table for system, table in tables.items() if system not in BASELINES},
        "gains": _gains(domains, systems, rng),
        "confusion": {name: _confusion(parts, task) for name, parts in by_domain.items()},
        "reliability": {name: _reliability(parts) for name, parts in by_domain.items()},
        "seeds": [_of_seed(domains, systems, names, place, number) for place, number in enumerate(seeds)],
    }


def _unscored(task: Task) -> dict[str, Any]:
    """What is said of a task whose texts had no label to be scored by: nothing."""
    empty = ("overall", "overall_ci95", "pooled", "domains", "baselines", "rungs", "confusion", "reliability")
    return {
        "labels": list(task.labels), "positive": task.head.positive, **{key: {} for key in empty},
        "gains": {"overall": {}, "domains": {}}, "seeds": [],
    }  # fmt: skip


def _systems(by_domain: Mapping[str, Sequence[Scored]]) -> list[str]:
    """The systems that answered everywhere: the model, the baselines, then lower rungs in the order given."""
    parts = [part for of_domain in by_domain.values() for part in of_domain]
    everywhere = [name for name in parts[0].probabilities if all(name in part.probabilities for part in parts)]
    rank = {name: place for place, name in enumerate((MODEL, *BASELINES))}
    return sorted(everywhere, key=lambda name: rank.get(name, len(rank)))


def _pooled(by_domain: Mapping[str, Sequence[Scored]], systems: Sequence[str], measured_by: Sequence[Scorer]) -> Floats:
    """(systems, scorers): over the rows of all domains together, the mean over seeds."""
    parts = [part for of_domain in by_domain.values() for part in of_domain]
    together = [joined([part for part in parts if part.seed == seed]) for seed in sorted({p.seed for p in parts})]
    return mean_over([scores(part, systems, measured_by) for part in together])


def _system_table(
    domains: Mapping[str, Measured], drawn: Floats, system: int, names: Sequence[str], pooled: Floats
) -> dict[str, Any]:
    points = mean_over([measured.means for measured in domains.values()])[system]
    return {
        "overall": _named(names, points),
        "overall_ci95": _intervals(names, drawn[:, system], points),
        "pooled": _named(names, pooled[system]),
        "domains": {
            name: {
                "metrics": _named(names, measured.means[system]),
                "ci95": _intervals(names, measured.alone[:, system], measured.means[system]),
            }
            for name, measured in domains.items()
        },
    }


def _domain_facts(parts: Sequence[Scored]) -> dict[str, Any]:
    """How many rows were scored (each seed counts), how many are distinct, and the rung most seeds shipped."""
    shipped = Counter(str(name) for part in parts for name in part.shipped)
    return {
        "n": sum(len(part.ids) for part in parts),
        "distinct": distinct(parts),
        "shipped": shipped.most_common(1)[0][0],
    }


def _gains(domains: Mapping[str, Measured], systems: Sequence[str], rng: np.random.Generator) -> dict[str, Any]:
    """Gains in accuracy of the model over every other system and the better contender, overall and by domain."""
    others = [system for system in systems if system != MODEL]
    opponents = {system: dict.fromkeys(domains, system) for system in others}
    contenders = [system for system in CONTENDERS if system in systems] or [s for s in ("cosine",) if s in systems]
    if contenders:
        opponents["better"] = {
            name: max(contenders, key=lambda system: measured.means[systems.index(system), -1])
            for name, measured in domains.items()
        }
    overall: dict[str, Any] = {}
    each: dict[str, dict[str, Any]] = {name: {} for name in domains}
    for against, chosen in opponents.items():
        columns = {name: systems.index(system) for name, system in chosen.items()}
        points = [m.means[0, -1] - m.means[columns[name], -1] for name, m in domains.items()]
        alone = [m.alone[:, 0, -1] - m.alone[:, columns[name], -1] for name, m in domains.items()]
        pairs = {name: [(part, chosen[name]) for part in m.parts] for name, m in domains.items()}
        tests = [votes(of_domain) for of_domain in pairs.values()]
        adjusted = holm([test.p for test in tests])
        for place, name in enumerate(domains):
            gain = _gain(points[place], alone[place], tests[place])
            each[name][against] = gain | {"p_holm": adjusted[place], "baseline": chosen[name]}
        whole = votes([pair for of_domain in pairs.values() for pair in of_domain])
        drawn = alone[0] if len(domains) == 1 else _gain_together(domains, columns, rng)
        overall[against] = _gain(float(mean_over(points)), drawn, whole)
    return {"overall": overall, "domains": each}


def _gain_together(domains: Mapping[str, Measured], columns: Mapping[str, int], rng: np.random.Generator) -> Floats:
    """(resamples,): draws of the mean gain over the systems in those ``columns``, by domain."""
    both = mean_over([m.samples[:, [0, columns[name]], -1] for name, m in domains.items()])
    both = with_phantom(both, rows_of(list(domains.values())), rng=rng)
    return np.asarray(both[:, 0] - both[:, 1])


def _gain(point: float, samples: Floats, test: Mcnemar) -> dict[str, Any]:
    return {
        "accuracy": _number(point),
        "ci95": _ends(samples, point),
        "p": test.p,
        "only_model": test.only_a,
        "only_baseline": test.only_b,
    }


def _confusion(parts: Sequence[Scored], task: Task) -> Any:
    from sklearn.metrics import confusion_matrix, multilabel_confusion_matrix

    labels = np.concatenate([part.labels for part in parts])
    answers = decide(np.concatenate([part.probabilities[MODEL] for part in parts]), multilabel=task.head.multilabel)
    if task.head.multilabel:
        tables = multilabel_confusion_matrix(labels.astype(np.int64), answers)
        return {label: table.tolist() for label, table in zip(task.labels, tables, strict=True)}
    return confusion_matrix(labels, answers, labels=range(len(task.labels))).tolist()


def _reliability(parts: Sequence[Scored]) -> list[dict[str, float]]:
    probabilities = np.concatenate([part.probabilities[MODEL] for part in parts])
    return reliability(probabilities, np.concatenate([part.labels for part in parts]))


def _of_seed(
    domains: Mapping[str, Measured], systems: Sequence[str], names: Sequence[str], place: int, seed: int
) -> dict[str, Any]:
    here = {name: measured for name, measured in domains.items() if place in measured.seeds}
    tables: dict[str, dict[str, Any]] = {
        system: {
            "overall": _named(names, mean_over([measured.points[place] for measured in here.values()])[column]),
            "domains": {name: {"metrics": _named(names, m.points[place, column])} for name, m in here.items()},
        }
        for column, system in enumerate(systems)
    }
    ours = tables.pop(MODEL)
    for name, measured in here.items():
        ours["domains"][name] |= _domain_facts([measured.parts[measured.seeds.index(place)]])
    return {"seed": seed, **ours, "baselines": tables}


def _named(names: Sequence[str], values: Floats) -> dict[str, float | None]:
    return {name: _number(value) for name, value in zip(names, values, strict=False)}


def _intervals(names: Sequence[str], samples: Floats, points: Floats) -> dict[str, list[float | None]]:
    return {name: _ends(samples[:, place], points[place]) for place, name in enumerate(names)}


def _ends(samples: Floats, point: float) -> list[float | None]:
    return [_number(end) for end in around(point, samples)]


def _number(value: float) -> float | None:
    """A plain number, or None for NaN, which JSON does not know."""
    return None if np.isnan(value) else float(value)
