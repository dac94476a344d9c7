"""Recipe → run: read, plan, guard, encode, then each turn of each seed, then results, report and model."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from accelerate import Accelerator

from nlptl.contracts import Ints, Quarantine
from nlptl.data._read import fingerprint
from nlptl.encoder.backbone import Backbone, resolve_precision
from nlptl.encoder.store import FeatureStore, encode
from nlptl.encoder.tokens import tokenize
from nlptl.evaluate.scorers import try_out
from nlptl.fitting.account import Account
from nlptl.fitting.anomalies import anomaly_rows
from nlptl.fitting.augment import with_views
from nlptl.fitting.chain import run_before
from nlptl.fitting.clock import Clock
from nlptl.fitting.cold import cold_rows
from nlptl.fitting.conclude import Planned, conclude
from nlptl.fitting.corpus import Corpus, Vectors
from nlptl.fitting.earlier import with_earlier
from nlptl.fitting.encoders import choose_encoder
from nlptl.fitting.folder import RunFolder, lock
from nlptl.fitting.gate import settle
from nlptl.fitting.gate_trained import without_training
from nlptl.fitting.heads import calibrating, reads_all_unlabelled
from nlptl.fitting.launch import launched
from nlptl.fitting.run import Run, token_of
from nlptl.fitting.setting import Setting
from nlptl.fitting.train import trains
from nlptl.fitting.turn import Outcome, run_turn
from nlptl.heads._reading import CHOICES, every_layer, parts
from nlptl.progress import bar
from nlptl.recipe import Recipe
from nlptl.recipe.rules_heads import rungs_are_calibrated
from nlptl.report.results import Results
from nlptl.saved.taken import load_backbone, taken_heads
from nlptl.train.gather import first_ahead, while_others_wait
from nlptl.transfer.labels import labels_are_left
from nlptl.transfer.leaks import Leaks, Signatures, guard, guard_validation
from nlptl.transfer.needs import validation_serves
from nlptl.transfer.plan import Turn
from nlptl.transfer.rows import every_turn, read_apart
from nlptl.tune.auto import Auto
from nlptl.tune.contrastive import Contrastive

if TYPE_CHECKING:
    from datasets import Dataset
    from evaluate import EvaluationModule

log = logging.getLogger("nlptl")

TOKEN_SAMPLE = 4000
"""Texts, evenly spaced, on which the shares of truncated texts and unknown tokens are measured."""


def fit(
    recipe: Recipe,
    *,
    out: Path | str | None = None,
    resume: bool = False,
    metrics: Sequence[EvaluationModule] = (),
) -> Run:
    """Do what ``recipe`` says and leave a run folder.

    Args:
        out: the run folder; ``runs/<name>`` where it is not given.
        resume: go on with the run in that folder; its numbers are those of an uninterrupted run.
        metrics: modules of ``evaluate`` that were loaded, beside the metrics that the recipe names; it cannot name
            these, for loading one runs a script. Each is computed anew on every resample.

    Raises:
        RecipeError, DataError, ModelError: the recipe, its data or its encoder cannot be used.
        RunError: the run cannot go on.
    """
    clock, accelerator = Clock(), launched()
    folder = RunFolder(Path(out or Path("runs") / recipe.name), main=accelerator.is_main_process)
    folder.look(recipe, resume=resume)
    asked, quarantine = recipe, Quarantine()
    with clock("data"):
        rows, anomalies = read_apart(recipe, quarantine)
        corpus = Corpus.of(rows, recipe.heads)
        try_out((*recipe.evaluate.metrics, *metrics), corpus.tasks)
        planned, leaks, corpus = _plan(recipe, corpus)
        corpus = with_views(recipe, corpus, (turn for _, turn, _ in planned))
    recipe = run_before(recipe, folder.path, resume=resume, accelerator=accelerator, fit=fit)
    with clock("encode"):
        recipe, ranked = choose_encoder(recipe, corpus, *planned[0][1:], accelerator)
        backbone, precision = _backbone(recipe, accelerator)
        corpus, planned, earlier_texts, leaks["earlier"] = with_earlier(recipe, corpus, planned)
        # Only now is it known that there will be something to put in an earlier run's place.
        folder.begin(asked, resume=resume, wait=accelerator.wait_for_everyone)
        folder.write_rejected(quarantine)
        account = Account()
        vectors, facts = _encode(recipe, corpus, planned, backbone, accelerator, account)
        earlier = taken_heads(recipe.encoder, corpus.tasks, CHOICES[recipe.encoder.pool])
    parents = () if backbone.inherited is None else backbone.inherited.parents
    data_hash = fingerprint(corpus.dataset)
    setting = Setting(
        recipe=recipe, corpus=corpus, vectors=vectors, backbone=backbone, accelerator=accelerator,
        precision=precision, folder=folder, resume=resume, clock=clock,
        fingerprint=_fingerprint(recipe, data_hash, backbone.base_identity, [one["heads"] for one in parents]),
        account=account, earlier_heads=earlier, earlier_texts=earlier_texts,
    )  # fmt: skip
    folder.write_json("lock.json", lock(
        recipe, data=data_hash, encoder=backbone.base_identity, device=str(accelerator.device),
        precision=accelerator.mixed_precision if accelerator.mixed_precision != "no" else precision,
        processes=accelerator.num_processes, parents=parents,
    ))  # fmt: skip

    outcomes, gate, strange = _turns(setting, planned, anomalies)
    models = {name: model for outcome in outcomes.values() for name, model in outcome.models.items()}
    shared, results = outcomes[recipe.seed, planned[0][1].name].shared, Results({"tasks": {}})
    with while_others_wait():
        if folder.main:
            results = conclude(
                setting, asked, planned, outcomes, models, shared, leaks=leaks, rejected=len(quarantine), gate=gate,
                encoder=facts | ({"ranked": ranked} if ranked else {}), anomalies=strange, metrics=metrics,
            )  # fmt: skip
    return Run(asked, folder.path, results, models, shared, token_of(folder.path))


def _turns(
    setting: Setting, planned: Planned, anomalies: Dataset | None
) -> tuple[dict[tuple[int, str], Outcome], list[dict[str, Any]], list[dict[str, Any]] | None]:
    """The outcome of every seed and turn, with the models of the first seed; what the gate decided; and how well
    ``anomalies`` were told, None where there are none."""
    recipe = setting.recipe
    strange: list[dict[str, Any]] | None = None if anomalies is None else []

    def answered(seed: int, turn: Turn, outcome: Outcome) -> Outcome:
        """``outcome`` once its models have no more to answer: those of the first seed are kept, to be saved."""
        if anomalies is not None and strange is not None:
            with while_others_wait():
                strange.extend(anomaly_rows(setting, seed, turn, outcome, anomalies) if setting.folder.main else ())
        return outcome if seed == recipe.seed else replace(outcome, models={}, shared=None)

    outcomes: dict[tuple[int, str], Outcome] = {}
    if recipe.transfer.choose == "auto":
        for seed, turn, groups in planned:
            outcomes[seed, turn.name] = run_turn(without_training(setting), turn, groups, seed=seed)
        with setting.clock("train"):
            return *settle(setting, planned, outcomes, answered), strange
    for seed, turn, groups in planned:
        outcome = run_turn(setting, turn, groups, seed=seed)
        with setting.clock("evaluate"):
            outcomes[seed, turn.name] = answered(seed, turn, outcome)
        del outcome  # or its model would live on through the next turn
    return outcomes, [], strange


def _plan(recipe: Recipe, corpus: Corpus) -> tuple[Planned, dict[str, int], Corpus]:
    """Every (seed, turn) with its leaks dropped, what the guard found in all turns together, and the corpus that knows
    which scored rows are copies of one another."""
    turns = every_turn(recipe, corpus.dataset, corpus.tasks)
    signatures = Signatures.of(corpus.texts, corpus.pairs, rows=_rows(turn for _, turn in turns))
    planned: Planned = []
    scored: list[Leaks] = []
    validation: list[Leaks] = []
    what, near = recipe.transfer.leaks, recipe.transfer.near
    held_back = trains(recipe) or rungs_are_calibrated(recipe.transfer, recipe.heads)
    for seed, turn in turns:
        clean, leaks = guard(turn, signatures, leaks=what, near=near)
        scored.append(leaks)
        if held_back and len(clean.validate):
            clean, leaks = guard_validation(clean, signatures, leaks=what, near=near)
            validation.append(leaks)
        labels_are_left(turn, clean, corpus.tasks, corpus.encoded)
        of_task = partial(corpus.labelled, rows=clean.validate)
        validation_serves(recipe, clean, corpus.tasks, corpus.domains, of_task)
        planned.append((seed, clean, signatures.groups(clean.teach, near=near)))
    served = np.unique(np.concatenate([turn.score for _, turn, _ in planned]))
    found = {
        "exact": sum(leaks.exact for leaks in scored),
        "near": sum(leaks.near for leaks in scored),
        "validation": sum(leaks.exact + leaks.near for leaks in validation),
        "dropped": sum(leaks.dropped for leaks in (*scored, *validation)),
    }
    corpus = corpus.with_copies(served, signatures.originals(served, near=near))
    return planned, found, _with_alike(recipe, corpus, planned, signatures)


def _with_alike(recipe: Recipe, corpus: Corpus, planned: Planned, signatures: Signatures) -> Corpus:
    """``corpus`` that knows which rows that teach or validate are copies of one another, where something is chosen by
    comparing their losses: copies of one text are no evidence of their own."""
    if not (isinstance(recipe.tune, Auto | Contrastive) or recipe.augment):
        return corpus
    rows = np.unique(np.concatenate([np.r_[turn.teach, turn.validate] for _, turn, _ in planned]))
    alike = np.full(len(corpus.dataset), -1, dtype=np.int64)
    alike[rows] = signatures.groups(rows, near=recipe.transfer.near)
    return replace(corpus, alike=alike)


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
    if unscored or reads_all_unlabelled(recipe):
        rows = np.unique(np.concatenate([rows, *(turn.unlabelled for _, turn, _ in planned)]))
    rows = np.concatenate([rows, np.arange(len(corpus.dataset), len(corpus.texts))])  # views of rows that teach
    if any(head.reads_unlabelled for head in recipe.heads.values()):
        rows = np.unique(np.concatenate([rows, *(calibrating(turn.unlabelled) for _, turn, _ in planned)]))
    rows = np.union1d(rows, cold_rows(recipe, corpus, planned))
    texts, pairs = corpus.texts_of(rows)
    store = FeatureStore.of(backbone) if recipe.encoder.cache else None
    layers = recipe.tune.asks_layers or recipe.encoder.pool == "mix"
    wanted = parts(("last", *CHOICES[recipe.encoder.pool], *(every_layer(backbone.depth) if layers else ())))
    with bar("encode") as progress:
        counted = account.counting(len(set(zip(texts, pairs or texts, strict=True))), progress)
        work = partial(encode, backbone, texts, pairs, readings=wanted, store=store, progress=counted)
        readings = first_ahead(work, first=accelerator.is_main_process)
    some = slice(None, None, max(1, len(texts) // TOKEN_SAMPLE))
    tokens = tokenize(backbone, texts[some], pairs and pairs[some])
    facts = {"texts": len(texts), "truncated": tokens.truncated, "unknown": tokens.unknown, "measured": len(tokens)}
    return Vectors(rows, readings), facts


def _fingerprint(recipe: Recipe, data: str, encoder: str, heads: list[str | None]) -> str:
    described = {name: section for name, section in recipe.described().items() if name not in ("evaluate", "name")}
    return hashlib.sha256(json.dumps([described, data, encoder, heads], sort_keys=True).encode()).hexdigest()
