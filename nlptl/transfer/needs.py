"""What ways to adapt and to weigh, and what rests on rows held back, ask of a turn before anything is encoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nlptl.contracts import Ints, Task
from nlptl.errors import RecipeError
from nlptl.recipe.rules_heads import asks_unseen_rows, holds_back_by_split, learns_further, rungs_are_calibrated
from nlptl.recipe.rules_labels import judged_on_labels
from nlptl.transfer.match import listed
from nlptl.transfer.plan import Turn

if TYPE_CHECKING:
    from datasets import Dataset

    from nlptl.recipe import Recipe


def must_serve(recipe: Recipe, turn: Turn, dataset: Dataset, tasks: Mapping[str, Task]) -> None:
    """Whether ``turn`` has what ``adapt``, ``transfer.weigh``, ``transfer.through``, ``calibrate``, ``anomaly`` and
    ``refit`` read.

    Raises:
        RecipeError: it lacks unlabelled texts or validation rows, has official ones that refit would have teach, has
            several targets where one is asked for, or one source alone.
    """
    if recipe.train.refit and len(turn.validate):
        raise RecipeError(
            f"train.refit teaches with the rows that chose, and turn {turn.name!r} has {len(turn.validate)} official "
            "validation rows, which teach nobody, baselines included; set train.refit: false, or name them train in "
            "data.split and set train.validation, such as 0.2."
        )
    domains = np.array(dataset[:]["domain"], dtype=object)

    def labelled(name: str) -> Ints:
        return turn.validate[tasks[name].labelled(tasks[name].encode(dataset[:][name]))[turn.validate]]

    validation_serves(recipe, turn, tasks, domains, labelled)
    for way in recipe.adapt:
        if way.kind == "label_shift":
            one_target(turn, what="adapt: label_shift estimates the shares of")
            for task in tasks.values():
                _losses_of_one_label(task)
        target_texts(turn, domains, kind=f"adapt: {way.kind}")
    if recipe.transfer.through:
        one_target(turn, what="transfer.through leads to")
        target_texts(turn, domains, kind="transfer.through")
    if recipe.transfer.weigh == "equal":
        return
    for name, task in tasks.items():
        taught = turn.teach[task.labelled(task.encode(dataset[:][name]))[turn.teach]]
        sources_to_weigh(turn, domains[taught].astype(str), how=recipe.transfer.weigh)
    target_texts(turn, domains, kind=f"transfer.weigh: {recipe.transfer.weigh}")


def validation_serves(
    recipe: Recipe, turn: Turn, tasks: Mapping[str, Task], domains: npt.NDArray[Any], labelled: Callable[[str], Ints]
) -> None:  # fmt: skip
    """Whether there are the validation rows that stopping early, calibration and thresholds of strange texts rest on:
    of each target where its rung is calibrated, else of any where what is trained is and the loop holds none back.

    Args:
        domains: of all rows.
        labelled: the validation rows that have a label for a task.

    Raises:
        RecipeError: there are none, or some target has none.
    """
    settings = recipe.train
    if settings.patience is not None and judged_on_labels(settings) and not (settings.validation or len(turn.validate)):
        raise RecipeError(
            f"train.patience: turn {turn.name!r} has no official validation row to see by when to stop; add some to "
            "data.split, set train.validation, such as 0.1, or patience: null."
        )
    if settings.validation == 0 or holds_back_by_split(recipe.tune):
        for name, task in tasks.items():
            trained = learns_further(task.head, recipe.tune, recipe.encoder, recipe.adapt)
            if asks_unseen_rows(task.head) is not None and trained and not len(labelled(name)):
                raise nothing_held_back(task, turn)
    if not rungs_are_calibrated(recipe.transfer, recipe.heads):
        return
    for name, head in recipe.heads.items():
        if getattr(head, "calibrate", None) is None:
            continue
        have = set(domains[labelled(name)].astype(str))
        if lacking := [target for target in turn.targets if target not in have]:
            raise RecipeError(
                f"heads.{name}.calibrate: with transfer.choose: auto each target's rung is calibrated on the target's "
                f"own official validation rows, and {listed(lacking)} has none with a label that is no copy of a "
                "scored row; add some, or set calibrate: null."
            )


def _losses_of_one_label(task: Task) -> None:
    """Whether a threshold set on the sources' rows is one for a target whose labels have other shares.

    Raises:
        RecipeError: the rows that may be lost have several labels, whose shares among them move too.
    """
    if getattr(getattr(task.head, "calibrate", None), "max_loss", None) is not None and len(task.labels) > 2:
        raise RecipeError(
            f"heads.{task.name}.calibrate.max_loss: adapt: label_shift moves the shares of the {len(task.labels) - 1} "
            "labels that are not to be caught, so that the sources' rows do not say what the target would lose; set "
            "max_loss: null, or leave one out."
        )


def nothing_held_back(task: Task, turn: Turn) -> RecipeError:
    """The error for a turn that holds no labelled row back from what learns, which a setting of the head rests on."""
    asking = asks_unseen_rows(task.head)
    return RecipeError(
        f"heads.{task.name}.{asking}: turn {turn.name!r} has no labelled row that was held back from what learns; "
        f"raise train.validation, name data.split with validation rows, or set {asking}: null."
    )


def target_texts(turn: Turn, domains: npt.NDArray[Any], *, kind: str) -> Ints:
    """The rows of the turn's targets whose texts may be read without labels; ``domains`` are of all rows.

    Raises:
        RecipeError: there are none; ``kind`` is who asks for them.
    """
    rows = turn.unlabelled[np.isin(domains[turn.unlabelled].astype(str), turn.targets)]
    if not len(rows):
        raise RecipeError(
            f"{kind} reads unlabelled texts of the target, and turn {turn.name!r} has none: every row of "
            f"{listed(turn.targets)} is scored. Lower transfer.hold_out, add unlabelled rows, or let methods read "
            "the scored texts with transfer.transductive: true."
        )
    return rows


def one_target(turn: Turn, *, what: str) -> None:
    """Whether the turn serves one target.

    Raises:
        RecipeError: it serves several together; ``what`` is said of one.
    """
    if len(turn.targets) > 1:
        raise RecipeError(
            f"{what} one target, and turn {turn.name!r} serves {listed(turn.targets)} together. Name one "
            "transfer.target, or set transfer.protocol: leave_one_out."
        )


def sources_to_weigh(turn: Turn, taught: Sequence[str] | npt.NDArray[Any], *, how: str) -> tuple[str, ...]:
    """The domains that teach and are no target, sorted; ``taught`` has the domain of each row that teaches.

    Raises:
        RecipeError: there are fewer than two.
    """
    names = tuple(sorted({str(name) for name in taught} - set(turn.targets)))
    if len(names) < 2:
        raise RecipeError(
            f"transfer.weigh: {how} compares source domains that are no target, and turn {turn.name!r} has "
            f"{len(names)}. Name more in transfer.source or fewer in transfer.target, or set transfer.protocol: "
            "leave_one_out, or weigh: equal."
        )
    return names
