"""One turn of the plan: solve the heads, train what learns, answer the scored rows, beside the baselines."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from nlptl.contracts import Floats, Ints
from nlptl.data._guess import DIALECT
from nlptl.encoder.lexical import Lexical
from nlptl.errors import DataError
from nlptl.evaluate.baselines import fit_baselines
from nlptl.evaluate.predictions import Scored
from nlptl.fitting.account import SCRATCH
from nlptl.fitting.adapt import corrected, row_weights
from nlptl.fitting.answers import answer, chosen_rows, scored_rows
from nlptl.fitting.augment import Learned, augmented
from nlptl.fitting.before import before_solving
from nlptl.fitting.beside import SOLO, solo_models
from nlptl.fitting.calibration import calibrated, calibrations, decisions, with_facts
from nlptl.fitting.climb import climb
from nlptl.fitting.contrast import contrast, train_any
from nlptl.fitting.distant import reach
from nlptl.fitting.domains import per_domain
from nlptl.fitting.gauges import flagged, gauged, gauges
from nlptl.fitting.heads import plain_cosines, prior_mean, solve_closed_form
from nlptl.fitting.layers import with_layers
from nlptl.fitting.refit import refitted
from nlptl.fitting.scratch import scratch_model
from nlptl.fitting.select import chosen_by
from nlptl.fitting.setting import Setting, SolvedTurn, teaching
from nlptl.fitting.train import Taught, split_off, trains
from nlptl.fitting.unseen import unseen
from nlptl.fitting.weigh import Weighed, weigh_sources
from nlptl.heads._reading import CHOICES
from nlptl.heads._solved import Folds, Solved, solve_head
from nlptl.model import Network, TaskHead
from nlptl.recipe import Recipe
from nlptl.recipe.rules_labels import sources
from nlptl.saved import Model
from nlptl.saved.words import Words
from nlptl.train.gather import while_others_wait
from nlptl.train.state import Length
from nlptl.transfer.folds import folds as make_folds
from nlptl.transfer.plan import Turn
from nlptl.tune.contrastive import Contrastive

log = logging.getLogger("nlptl")

SOLVED = "solved"
"""The rung of solved heads on the frozen encoder; where more was trained, it answers too, to be compared with."""


@dataclass(frozen=True)
class Outcome:
    """What a turn leaves: its model, its answers beside the baselines', and what was chosen on the way.

    ``models`` is by the name of the turn, or by target where each got a rung of its own. ``solved`` holds the heads by
    task that the model began from.
    """

    models: Mapping[str, Model]
    scored: tuple[Scored, ...]
    chosen: tuple[dict[str, Any], ...]
    solved: Mapping[str, Solved]
    conflicts: tuple[list[list[float]], ...] = ()
    """Cosines between the gradients of tasks, one (tasks, tasks) table a measurement."""
    decisions: tuple[dict[str, Any], ...] = ()
    """What calibrated heads decided on the scored rows, one mapping a task and domain."""
    strange: tuple[dict[str, Any], ...] = ()
    """How many scored rows were flagged as unlike all that taught, one mapping a task and domain."""
    shared: Model | None = None
    """Of one turn whose targets each got a rung of its own: the model that all taught, for domains that are none."""


def run_turn(setting: Setting, turn: Turn, groups: Ints, *, seed: int) -> Outcome:
    """Run ``turn``, from which leaks have been dropped.

    Args:
        groups: (teaching rows,) near-duplicate groups, which no fold divides.
    """
    own, held_back = split_off(setting.recipe, setting.corpus, turn, groups, seed)
    plain = setting
    with setting.clock("train"):
        setting = before_solving(setting, own, held_back, seed=seed)
        kept = groups[np.isin(turn.teach, own.teach)]
        learn = partial(learn_turn, held_back=held_back, seed=seed)
        learned, augmentation = augmented(learn, setting, own, kept, held_back)
        learned, again = refitted(learn_turn, learned, turn, groups, held_back, seed=seed)
        setting, own, kept, solved, model = (
            learned.setting, learned.turn, learned.groups, learned.solved, learned.model,
        )  # fmt: skip
        trained = partial(train_any, seed=seed)
        model, notes, shifts = corrected(setting, own, held_back, solved, model, learned.judged)
        by_row = partial(_folds, setting, replace(own, labels_of_target=1), kept, seed=seed)
        domain_heads, spreads, out_of_fold = per_domain(setting, own, solved, by_row)
        rows = unseen(setting, plain.recipe, own, held_back, solved, learned.judged, out_of_fold, shifts)
        fitted = calibrations(setting.corpus, rows)
        gauging = gauges(setting, own, solved, model, learned.judged, rows)
        spreads = with_facts(spreads, calibrated(fitted), gauged(gauging))
        if domain_heads or fitted or gauging:
            model = Model(model.network, model.words, model.columns, model.shelf, domain_heads, fitted, gauging)
    alone: dict[str, Model] = {}
    if setting.recipe.evaluate.solo and len(setting.corpus.tasks) > 1 and trains(setting.recipe):
        with setting.clock(SOLO):
            alone = solo_models(setting, own, held_back, solved, trained)
    scratch: Model | None = None
    if setting.recipe.evaluate.scratch:
        with setting.clock(SCRATCH):
            scratch = scratch_model(setting, own, held_back, solved, trained, seed=seed)
    with setting.clock("evaluate"):
        answers = answer(setting, turn, model)
        below = {} if model is solved.model else answer(setting, turn, solved.model)
        solo = {name: answer(setting, turn, one)[name] for name, one in alone.items()}
        from_scratch = {} if scratch is None else answer(setting, turn, scratch)
        strange = tuple(flagged(setting, turn, model, seed))
        with while_others_wait():
            baselines = _baselines(plain, turn, groups, seed) if setting.folder.main else {}
    scored = tuple(
        scored_rows(
            setting.corpus,
            turn,
            name,
            {"model": answers[name]}
            | baselines[name]
            | ({SOLVED: below[name]} if below else {})
            | ({SOLO: solo[name]} if solo else {})
            | ({SCRATCH: from_scratch[name]} if from_scratch else {}),
            seed,
            _rung(setting.recipe, name),
            domain_heads.get(name),
        )
        for name in baselines
    )
    by = chosen_by(setting, held_back) if trains(setting.recipe) else {}
    beside = {
        name: spreads.get(name, {}) | ({"adapt": note} if note else {}) | _how_weighed(solved, name) | by
        for name, note in notes.items()
    }
    for name in setting.earlier_heads:
        beside[name] = beside.get(name, {}) | {"scale of prior": solved.heads[name].prior_scale}
    on_the_way: dict[str, Any] = {"climbed": learned.climbed} if learned.climbed else {}
    on_the_way |= {"augmented": augmentation} if augmentation else {}
    on_the_way |= {"refit": again} if again else {}
    by_layer = learned.by_layer
    if by_layer:
        on_the_way |= {"top layers": getattr(setting.recipe.tune, "layers", None), "loss by layer": by_layer}
    chosen = tuple(row | on_the_way for row in chosen_rows(solved, beside))
    conflicts = tuple(entry["conflicts"] for entry in learned.history if "conflicts" in entry)
    decided = tuple(decisions(setting.corpus, fitted, scored))
    return Outcome({turn.name: model}, scored, chosen, solved.heads, conflicts, decided, strange=strange)


def learn_turn(
    setting: Setting, turn: Turn, groups: Ints, *, held_back: Ints, seed: int, length: Length | None = None
) -> Learned:
    """Solve the heads of ``turn`` and train upon them as the recipe of ``setting`` says, for ``length`` if given."""
    solved = solve_turn(setting, turn, groups, seed=seed)
    setting, by_layer = with_layers(setting, turn, solved)
    if isinstance(setting.recipe.tune, Contrastive):
        setting, model, climbed = contrast(setting, turn, solved, seed)
        taught = Taught(model)
    else:
        train = partial(train_any, seed=seed, length=length)
        setting, taught, climbed = climb(setting, turn, held_back, solved, train)
    return Learned(
        setting, turn, groups, solved, taught.model, by_layer, climbed, taught.history, taught.model, taught.length
    )


def _rung(recipe: Recipe, task: str) -> str:
    """What serves ``task``: the tuned body, a trained head over the frozen one, or the solved head."""
    if recipe.tune.learns:
        rung = recipe.tune.kind
    elif recipe.encoder.pool == "mix":
        rung = "mix"
    else:
        rung = SOLVED if recipe.heads[task].kind == "linear" else recipe.heads[task].kind
    return "+".join([rung, *(way.kind for way in recipe.adapt), *(way.kind for way in recipe.augment)])


def solve_turn(setting: Setting, turn: Turn, groups: Ints, *, seed: int) -> SolvedTurn:
    """Solve every task's head on the frozen encoder; linear ones with the words beside them where the recipe asks for
    them. Heads that are to be trained have a linear one below."""
    corpus, encoder = setting.corpus, setting.recipe.encoder
    taught_by = teaching(corpus, turn)
    folds = {
        name: _folds(setting, turn, groups, name, seed) if len(rows) and corpus.tasks[name].head.needs_labels else ()
        for name, rows in taught_by.items()
    }
    closed = {
        name: solve_closed_form(setting, name, rows, folds[name], turn.unlabelled)
        for name, rows in taught_by.items()
        if corpus.tasks[name].head.closed_form and corpus.tasks[name].head.kind != "linear"
    }
    lexical = None if encoder.lexical is None else Lexical.fit(list(corpus.texts[turn.teach]))
    weights = row_weights(setting, turn, groups, seed)
    solved: dict[str, Solved] = {}
    weighed: dict[str, Weighed] = {}
    ways: dict[str, dict[str, Any]] = {}
    for name, rows in taught_by.items():
        if name not in closed:
            solve = partial(
                solve_head,
                corpus.tasks[name],
                {reading: setting.vectors.of(rows, reading) for reading in CHOICES[encoder.pool]},
                corpus.encoded[name][rows],
                words=None if lexical is None else lexical.transform(list(corpus.texts[rows])),
                prior=prior_mean(setting, corpus.tasks[name], turn.unlabelled),
            )
            solved[name] = solve(folds=folds[name], row_weights=weights.get(name))
            how = setting.recipe.transfer.weigh
            if how != "equal":
                weighed[name] = weigh_sources(corpus, setting.vectors, turn, name, solved[name], lexical, how=how)
                weights[name] = weighed[name].rows * weights.get(name, 1.0)
                if len(np.unique(corpus.domains[rows][weights[name] > 0].astype(str))) < 2:
                    # Held out whole, the one domain that counts would be told by nobody: its rows are divided.
                    folds[name] = _folds(setting, replace(turn, labels_of_target=1), groups, name, seed)
                solved[name] = solve(folds=folds[name], row_weights=weights[name])
            if setting.recipe.transfer.through:
                solved[name], ways[name] = reach(corpus, setting.vectors, turn, name, solved[name])
    words = None if lexical is None else Words(lexical, {n: s.words for n, s in solved.items() if s.words is not None})
    heads = {
        name: TaskHead(task, closed[name].reading, closed[name].net)
        if name in closed
        else TaskHead.solved(task, solved[name])
        for name, task in corpus.tasks.items()
    }
    text_scores = {name: form.scores for name, form in closed.items() if form.scores is not None}
    model = Model(Network(setting.backbone, heads, text_scores), words, _columns(setting.recipe))
    return SolvedTurn(folds, solved, model, weights, closed, weighed, ways)


def _how_weighed(solved: SolvedTurn, task: str) -> dict[str, Any]:
    weighed = solved.weighed.get(task)
    way = dict(solved.ways.get(task, {}))
    return way if weighed is None else {"trusted": weighed.trusted, "weights": weighed.weights}


def _columns(recipe: Recipe) -> dict[str, str | None]:
    """The columns of the first source, its kind and dialect, by which files are read that the model is to answer; that
    of second texts, where any source has such, for then every text was read with one."""
    source = recipe.first_source
    told = {name: getattr(source, name) for name in ("kind", *DIALECT) if hasattr(source, name)}
    pairs = next((each.text_pair for _, each in sources(recipe.data) if each.text_pair is not None), None)
    return {"text": source.text, "text_pair": pairs, "domain": source.domain, **told}


def _folds(setting: Setting, turn: Turn, groups: Ints, task: str, seed: int) -> Folds:
    """Folds over the rows that teach ``task``, as places among them; DataError where they cannot be divided."""
    corpus = setting.corpus
    rows = corpus.labelled(task, turn.teach)
    kept = np.isin(turn.teach, rows)
    try:
        return make_folds(
            labels=corpus.encoded[task][rows],
            domains=corpus.domains[rows],
            groups=groups[kept],
            target_labels=turn.labels_of_target,
            seed=seed,
        )
    except DataError as error:
        raise DataError(f"turn {turn.name!r}, task {task!r}: {error}") from error


def _baselines(setting: Setting, turn: Turn, groups: Ints, seed: int) -> dict[str, dict[str, Floats]]:
    """By task and baseline: (scored rows, labels) probabilities; of those that labels teach, where there are labels
    that can be divided, to choose by."""
    corpus = setting.corpus
    texts, features = list(corpus.texts[turn.score]), setting.vectors.of(turn.score, "last")
    answers = {}
    for name, rows in teaching(corpus, turn).items():
        answers[name] = plain_cosines(setting, name, turn.score)
        if not (len(rows) and len(turn.score)):
            continue
        try:
            folds = _folds(setting, turn, groups, name, seed)
        except DataError as error:  # a head that needs no labels has come so far
            log.warning("no baseline that labels teach: %s", error)
            continue
        fitted = fit_baselines(
            corpus.tasks[name],
            texts=list(corpus.texts[rows]),
            features=setting.vectors.of(rows, "last"),
            labels=corpus.encoded[name][rows],
            folds=folds,
            seed=seed,
        )
        answers[name] |= {kind: baseline.predict(texts, features) for kind, baseline in fitted.items()}
    return answers
