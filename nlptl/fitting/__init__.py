"""Recipe → run: read, plan, guard, encode, then each turn of each seed, then results, report and model."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator

from nlptl.contracts import Ints, Quarantine
from nlptl.data._read import fingerprint
from nlptl.encoder.backbone import Backbone, resolve_precision
from nlptl.encoder.store import FeatureStore, encode
from nlptl.encoder.tokens import tokenize
from nlptl.evaluate.predictions import LabelSet, Predictions
from nlptl.evaluate.summary import summarise
from nlptl.fitting.account import Account, cost
from nlptl.fitting.anomalies import anomaly_rows
from nlptl.fitting.augment import with_views
from nlptl.fitting.beside import several_tasks
from nlptl.fitting.chain import run_before
from nlptl.fitting.clock import Clock
from nlptl.fitting.cold import cold_rows, curves
from nlptl.fitting.corpus import Corpus, Vectors
from nlptl.fitting.encoders import choose_encoder
from nlptl.fitting.folder import RunFolder, file_name, lock
from nlptl.fitting.gate import settle
from nlptl.fitting.gate_trained import without_training
from nlptl.fitting.heads import calibrating
from nlptl.fitting.launch import launched
from nlptl.fitting.matrix import matrix_rows
from nlptl.fitting.negative import negative_transfer
from nlptl.fitting.run import Run
from nlptl.fitting.setting import Setting
from nlptl.fitting.turn import Outcome, run_turn
from nlptl.fitting.unscored import unmeasured, unscored_answers
from nlptl.heads._reading import CHOICES, every_layer, parts
from nlptl.progress import bar
from nlptl.recipe import Recipe
from nlptl.report.card import CardFacts, write_card
from nlptl.report.page import write_page
from nlptl.report.results import Results, assemble
from nlptl.saved import Model
from nlptl.saved.taken import load_backbone, taken_heads
from nlptl.saved.targets import SHARED, write_index
from nlptl.transfer.leaks import Leaks, Signatures, guard
from nlptl.transfer.plan import Turn
from nlptl.transfer.rows import every_turn, read_apart

log = logging.getLogger("nlptl")

TOKEN_SAMPLE = 4000
"""Texts, evenly spaced, on which the shares of truncated texts and unknown tokens are measured."""


def fit(recipe: Recipe, *, out: Path | str | None = None, resume: bool = False) -> Run:
    """Do what ``recipe`` says and leave a run folder.

    Args:
        out: the run folder; ``runs/<name>`` where it is not given.
        resume: go on with the run in that folder; its numbers are those of an uninterrupted run.

    Raises:
        RecipeError, DataError, ModelError: the recipe, its data or its encoder cannot be used.
        RunError: the run cannot go on.
    """
    clock, accelerator = Clock(), launched()
    folder = RunFolder(Path(out or Path("runs") / recipe.name), main=accelerator.is_main_process)
    folder.open(recipe, resume=resume, wait=accelerator.wait_for_everyone)
    asked, recipe = recipe, run_before(recipe, folder.path, resume=resume, accelerator=accelerator, fit=fit)

    quarantine = Quarantine()
    with clock("data"):
        rows, anomalies = read_apart(recipe, quarantine)
        corpus = Corpus.of(rows, recipe.heads)
        folder.write_rejected(quarantine)
        planned, leaks = _plan(recipe, corpus)
        corpus = with_views(recipe, corpus, (turn for _, turn, _ in planned))
    with clock("encode"):
        recipe, ranked = choose_encoder(recipe, corpus, *planned[0][1:], accelerator.device)
        backbone, precision = _backbone(recipe, accelerator)
        account = Account()
        vectors, facts = _encode(recipe, corpus, planned, backbone, accelerator, account)
        earlier = taken_heads(recipe.encoder, corpus.tasks, CHOICES[recipe.encoder.pool])
    parents = () if backbone.inherited is None else backbone.inherited.parents
    data_hash = fingerprint(corpus.dataset)
    setting = Setting(
        recipe=recipe, corpus=corpus, vectors=vectors, backbone=backbone, accelerator=accelerator,
        precision=precision, folder=folder, resume=resume, clock=clock,
        fingerprint=_fingerprint(recipe, data_hash, backbone.base_identity, [one["heads"] for one in parents]),
        account=account, earlier_heads=earlier,
    )  # fmt: skip
    folder.write_json("lock.json", lock(
        recipe, data=data_hash, encoder=backbone.base_identity, device=str(accelerator.device),
        precision=accelerator.mixed_precision if accelerator.mixed_precision != "no" else precision,
        processes=accelerator.num_processes, parents=parents,
    ))  # fmt: skip

    outcomes: dict[tuple[int, str], Outcome] = {}
    choosing = recipe.transfer.choose == "auto"
    first = without_training(setting) if choosing else setting
    for seed, turn, groups in planned:
        outcomes[seed, turn.name] = run_turn(first, turn, groups, seed=seed)
    gate: list[dict[str, Any]] = []
    if choosing:
        with clock("train"):
            outcomes, gate = settle(setting, planned, outcomes)
    models = {
        name: model
        for (seed, _), outcome in outcomes.items()
        if seed == recipe.seed
        for name, model in outcome.models.items()
    }
    if not accelerator.is_main_process:
        return Run(asked, folder.path, Results({"tasks": {}}), models)

    with clock("evaluate"):
        matrix = matrix_rows(setting, planned) if recipe.evaluate.matrix else None
        labels_curves = curves(setting, planned)
        negative = negative_transfer(setting, planned, outcomes) if recipe.evaluate.negative_transfer else None
        strange = None if anomalies is None else anomaly_rows(setting, planned, outcomes, anomalies)
        tasks = list(corpus.tasks.values())
        predictions = Predictions(
            {task.name: LabelSet.of(task) for task in tasks},
            tuple(part for outcome in outcomes.values() for part in outcome.scored),
        )
        predictions.save(folder.path / "predictions.parquet")
        summary = summarise(predictions, tasks, recipe.evaluate, seed=recipe.seed)
        for name, answers in unscored_answers(setting, planned, models).items():
            summary[name]["answers"] = answers
        for of_task in summary.values():
            of_task["unmeasured"] = unmeasured(planned, of_task["domains"])
    spent: dict[str, Any] = {
        "seconds": clock.seconds(), "params": _parameters(next(iter(models.values()))), "peak_rss_mb": _peak_rss_mb(),
    }  # fmt: skip
    results = assemble(
        recipe=asked.described(),
        seed=recipe.seed,
        tasks=summary,
        **spent,
        cost=cost(account, tasks=summary, **spent),
        leaks=leaks,
        rejected=len(quarantine),
        encoder=facts | ({"ranked": ranked} if ranked else {}),
        chosen=[{"seed": seed, "turn": name} | row for (seed, name), o in outcomes.items() for row in o.chosen],
        matrix=matrix,
        curves=labels_curves,
        multitask=several_tasks(summary, [table for outcome in outcomes.values() for table in outcome.conflicts]),
        gate=gate,
        negative_transfer=negative,
        anomalies=strange,
        decisions=[row for outcome in outcomes.values() for row in outcome.decisions],
    )
    results.save(folder.path / "results.json")
    shared = outcomes[recipe.seed, planned[0][1].name].shared
    _save_models(setting, planned, models, shared, results)
    write_page(folder.path)
    return Run(asked, folder.path, results, models, shared)


Planned = list[tuple[int, Turn, Ints]]


def _plan(recipe: Recipe, corpus: Corpus) -> tuple[Planned, dict[str, int]]:
    """Every (seed, turn) with its leaks dropped, and what the guard found in all turns together."""
    turns = every_turn(recipe, corpus.dataset, corpus.tasks)
    signatures = Signatures.of(corpus.texts, corpus.pairs, rows=_rows(turn for _, turn in turns))
    planned: Planned = []
    found: list[Leaks] = []
    for seed, turn in turns:
        clean, leaks = guard(turn, signatures, leaks=recipe.transfer.leaks, near=recipe.transfer.near)
        planned.append((seed, clean, signatures.groups(clean.teach, near=recipe.transfer.near)))
        found.append(leaks)
    return planned, {key: sum(getattr(leaks, key) for leaks in found) for key in ("exact", "near", "dropped")}


def _rows(turns: Iterable[Turn]) -> Ints:
    """The rows that any of ``turns`` looks at, ascending."""
    return np.unique(np.concatenate([np.r_[t.teach, t.validate, t.score, t.unlabelled] for t in turns]))


def _backbone(recipe: Recipe, accelerator: Accelerator) -> tuple[Backbone, str]:
    """The frozen encoder, and the precision of frozen weights while training; a launcher's mixed precision wins."""
    backbone = load_backbone(recipe.encoder, device=accelerator.device)
    backbone.freeze(resolve_precision(recipe.encoder.precision, accelerator.device))
    if accelerator.mixed_precision != "no":
        return backbone, "float32"
    return backbone, resolve_precision(recipe.train.precision, accelerator.device)


def _encode(
    recipe: Recipe, corpus: Corpus, planned: Planned, backbone: Backbone, accelerator: Accelerator, account: Account
) -> tuple[Vectors, dict[str, Any]]:
    """The vectors of all rows that any turn uses, each text encoded once."""
    rows = np.unique(
        np.concatenate([part for _, turn, _ in planned for part in (turn.teach, turn.validate, turn.score)])
    )
    unscored = not any(len(turn.score) for _, turn, _ in planned)
    if unscored or _reads_all_unlabelled(recipe):
        rows = np.unique(np.concatenate([rows, *(turn.unlabelled for _, turn, _ in planned)]))
    rows = np.concatenate([rows, np.arange(len(corpus.dataset), len(corpus.texts))])  # views of rows that teach
    if any(head.reads_unlabelled for head in recipe.heads.values()):
        rows = np.unique(np.concatenate([rows, *(calibrating(turn.unlabelled) for _, turn, _ in planned)]))
    rows = np.union1d(rows, cold_rows(recipe, corpus, planned))
    texts, pairs = list(corpus.texts[rows]), None if corpus.pairs is None else list(corpus.pairs[rows])
    store = FeatureStore.of(backbone) if recipe.encoder.cache else None
    layers = recipe.tune.asks_layers or recipe.encoder.pool == "mix"
    wanted = parts(("last", *CHOICES[recipe.encoder.pool], *(every_layer(backbone.depth) if layers else ())))
    with accelerator.main_process_first(), bar("encode") as progress:
        counted = account.counting(len(set(zip(texts, pairs or texts, strict=True))), progress)
        readings = encode(backbone, texts, pairs, readings=wanted, store=store, progress=counted)
    some = slice(None, None, max(1, len(texts) // TOKEN_SAMPLE))
    tokens = tokenize(backbone, texts[some], pairs and pairs[some])
    facts = {"texts": len(texts), "truncated": tokens.truncated, "unknown": tokens.unknown, "measured": len(tokens)}
    return Vectors(rows, readings), facts


def _reads_all_unlabelled(recipe: Recipe) -> bool:
    """Whether something reads every unlabelled text; heads that calibrate on them read some."""
    transfer = recipe.transfer
    weighs = transfer.choose is not None or transfer.weigh != "equal" or bool(transfer.through)
    return weighs or bool(recipe.adapt) or recipe.train.select != "source"


def _fingerprint(recipe: Recipe, data: str, encoder: str, heads: list[str | None]) -> str:
    described = {name: section for name, section in recipe.described().items() if name not in ("evaluate", "name")}
    return hashlib.sha256(json.dumps([described, data, encoder, heads], sort_keys=True).encode()).hexdigest()


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
    several = set(models) != {"all"}
    folders = {name: whole / file_name(name) if several else whole for name in models}
    for name, folder in folders.items():
        models[name].save(folder)
        write_card(folder, results, _card_facts(setting, serves[name], models[name]))
    if shared is not None:
        shared.save(whole / SHARED)
        write_card(whole / SHARED, results, _card_facts(setting, serves["all"], shared))
    if several:
        write_index(whole, {name: folder.name for name, folder in folders.items()}, None if shared is None else SHARED)


def _card_facts(setting: Setting, turn: Turn, model: Model) -> CardFacts:
    recipe = setting.recipe
    calibrates = any(head.reads_unlabelled for head in recipe.heads.values())
    read = (
        turn.unlabelled if _reads_all_unlabelled(recipe) else calibrating(turn.unlabelled)[: None if calibrates else 0]
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
    )
