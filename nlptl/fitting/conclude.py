"""What a run ends with: its evaluation, the results, the saved models and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nlptl.contracts import Ints
from nlptl.evaluate.predictions import LabelSet, Predictions
from nlptl.evaluate.summary import summarise
from nlptl.fitting.account import cost
from nlptl.fitting.beside import several_tasks
from nlptl.fitting.cold import curves
from nlptl.fitting.folder import file_name
from nlptl.fitting.heads import calibrating, reads_all_unlabelled
from nlptl.fitting.matrix import matrix_rows
from nlptl.fitting.negative import negative_transfer
from nlptl.fitting.setting import Setting
from nlptl.fitting.turn import Outcome
from nlptl.fitting.unscored import unmeasured, unscored_answers
from nlptl.recipe import Recipe
from nlptl.report.card import CardFacts, write_card
from nlptl.report.page import write_page
from nlptl.report.results import Results, assemble
from nlptl.saved import Model
from nlptl.saved.targets import SHARED, write_index
from nlptl.transfer.plan import Turn
from nlptl.transfer.taught import Hashes

if TYPE_CHECKING:
    from evaluate import EvaluationModule

Planned = list[tuple[int, Turn, Ints]]
"""Each turn with the seed that it is run under and the near-duplicate groups of its teaching rows."""


def conclude(
    setting: Setting,
    asked: Recipe,
    planned: Planned,
    outcomes: Mapping[tuple[int, str], Outcome],
    models: Mapping[str, Model],
    shared: Model | None,
    *,
    leaks: Mapping[str, int],
    rejected: int,
    encoder: Mapping[str, Any],
    gate: Sequence[Mapping[str, Any]],
    anomalies: Sequence[Mapping[str, Any]] | None,
    metrics: Sequence[EvaluationModule],
) -> Results:
    """The results of all turns, written to the run folder with the models of the first seed and the report.

    Args:
        asked: the recipe as it was given.
        outcomes: by seed and turn.
        models: of the first seed, by the name of the turn, or by target where each got a rung of its own.
        shared: the one beside them that serves every other domain, where there is one.
        leaks, rejected, encoder, gate, anomalies: as ``assemble`` takes them.
        metrics: modules that Python code loaded, beside those that the recipe names.
    """
    recipe, corpus, folder = setting.recipe, setting.corpus, setting.folder.path
    with setting.clock("evaluate"):
        matrix = matrix_rows(setting, planned) if recipe.evaluate.matrix else None
        labels_curves = curves(setting, planned)
        negative = negative_transfer(setting, planned, outcomes) if recipe.evaluate.negative_transfer else None
        tasks = list(corpus.tasks.values())
        predictions = Predictions(
            {task.name: LabelSet.of(task) for task in tasks},
            tuple(part for outcome in outcomes.values() for part in outcome.scored),
        )
        predictions.save(folder / "predictions.parquet")
        measured = (*recipe.evaluate.metrics, *metrics)
        summary = summarise(predictions, tasks, recipe.evaluate, seed=recipe.seed, metrics=measured)
        for name, answers in unscored_answers(setting, planned, models).items():
            summary[name]["answers"] = answers
        for of_task in summary.values():
            of_task["unmeasured"] = unmeasured(planned, of_task["domains"])
    spent: dict[str, Any] = {
        "seconds": setting.clock.seconds(), "params": _parameters(next(iter(models.values()))),
        "peak_rss_mb": _peak_rss_mb(),
    }  # fmt: skip
    results = assemble(
        recipe=asked.described(),
        seed=recipe.seed,
        tasks=summary,
        **spent,
        cost=cost(setting.account, tasks=summary, **spent),
        leaks=leaks,
        rejected=rejected,
        encoder=encoder,
        chosen=[{"seed": seed, "turn": name} | row for (seed, name), o in outcomes.items() for row in o.chosen],
        matrix=matrix,
        curves=labels_curves,
        multitask=several_tasks(summary, [table for outcome in outcomes.values() for table in outcome.conflicts]),
        gate=gate,
        negative_transfer=negative,
        anomalies=anomalies,
        decisions=[row for outcome in outcomes.values() for row in outcome.decisions],
        strange=[row for outcome in outcomes.values() for row in outcome.strange],
    )
    results.save(folder / "results.json")
    _save_models(setting, planned, models, shared, results)
    write_page(folder)
    return results


def _parameters(model: Model) -> dict[str, int]:
    """Parameters that were fitted (adapter and heads, words and single domains' included), and all there are."""
    every = sum(parameter.numel() for parameter in model.network.parameters())
    heads = sum(parameter.numel() for parameter in model.network.heads.parameters())
    adapter = model.network.backbone.tuned_size
    words = sum(weights.size for weights in model.words.weights.values()) if model.words else 0
    apart = sum(heads.deviations.weights.size + heads.deviations.bias.size for heads in model.domain_heads.values())
    return {"trainable": heads + adapter + words + apart, "total": every + words + apart}


def _peak_rss_mb() -> float:
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


def _save_models(
    setting: Setting, planned: Planned, models: Mapping[str, Model], shared: Model | None, results: Results
) -> None:
    """Each model of the first seed with its card: in ``model/``, or in ``model/<target>/`` where there are several."""
    turns = [turn for seed, turn, _ in planned if seed == setting.recipe.seed]
    serves = {name: turn for turn in turns for name in (turn.name, *turn.targets)}
    whole = setting.folder.path / "model"
    several = shared is not None or set(models) != {"all"}
    folders = {name: whole / file_name(name) if several else whole for name in models}
    for name, folder in folders.items():
        models[name].taught = _taught(setting, serves[name])
        models[name].save(folder)
        scored = (name,) if several else None
        write_card(folder, results, _card_facts(setting, serves[name], models[name], results, scored))
    if shared is not None:
        shared.taught = _taught(setting, serves["all"])
        shared.save(whole / SHARED)
        write_card(whole / SHARED, results, _card_facts(setting, serves["all"], shared, results, ()))
    if several:
        write_index(whole, {name: folder.name for name, folder in folders.items()}, None if shared is None else SHARED)


def _taught(setting: Setting, turn: Turn) -> Hashes:
    """Of the texts that taught the turn's model, or chose its epoch, and of those that taught what it went on from."""
    own = setting.corpus.hashes(np.union1d(turn.teach, turn.validate))
    return own if setting.earlier_texts is None else np.union1d(own, setting.earlier_texts)


def _card_facts(
    setting: Setting, turn: Turn, model: Model, results: Results, scored: tuple[str, ...] | None
) -> CardFacts:
    recipe = setting.recipe
    calibrates = any(head.reads_unlabelled for head in recipe.heads.values())
    read = (
        turn.unlabelled if reads_all_unlabelled(recipe) else calibrating(turn.unlabelled)[: None if calibrates else 0]
    )

    def by_domain(rows: Ints) -> dict[str, int]:
        names, counts = np.unique(setting.corpus.domains[rows].astype(str), return_counts=True)
        return {str(name): int(count) for name, count in zip(names, counts, strict=True)}

    return CardFacts(
        name=recipe.name,
        base_model=model.network.backbone.located.name,
        taught_by=by_domain(turn.teach),
        unlabelled=by_domain(read),
        adapter=hasattr(model.network.backbone.body, "peft_config"),
        parents=model.network.backbone.inherited.parents if model.network.backbone.inherited else (),
        lexical=model.words is not None,
        scored=scored,
        strange=[row for row in results["strange"] if (row["seed"], row["turn"]) == (recipe.seed, turn.name)],
    )
