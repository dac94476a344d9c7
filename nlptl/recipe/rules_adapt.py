"""What a recipe must hold for its ways to adapt and its criterion for the epoch: rules as in ``recipe.rules``."""

from typing import Any

from nlptl.recipe.rules_heads import learns_further
from nlptl.recipe.rules_labels import Problems, sources


def selecting_has_rows(data: Any, train: Any) -> Problems:
    """Whether weighed validation has rows to weigh."""
    if train.select == "importance" and train.validation == 0 and all(s.split is None for _, s in sources(data)):
        yield (
            ("train", "select"),
            "importance weighs teaching rows that are held back; set train.validation, such as 0.1, or select: snd.",
        )


def selecting_tells_labels_apart(train: Any, heads: Any) -> Problems:
    """Whether the answers are such that their density or entropy means something."""
    several = [task for task, head in heads.items() if head.multilabel]
    if train.select in ("snd", "entropy") and several:
        yield (
            ("train", "select"),
            f"{train.select} is defined for labels that exclude one another, and heads.{several[0]} is multilabel.",
        )


def adapted_once(adapt: Any) -> Problems:
    """Whether each way to adapt is named once."""
    for place, way in enumerate(adapt):
        if way.kind in [other.kind for other in adapt[:place]]:
            yield ("adapt", place), f"{way.kind} is there twice; keep one."


def adapting_has_texts(data: Any, transfer: Any, adapt: Any) -> Problems:
    """Whether unlabelled texts of the target are left to adapt to."""
    scored = transfer.hold_out == 1 and not transfer.transductive
    if adapt and scored and all(source.split is None for _, source in sources(data)):
        yield (
            ("transfer", "hold_out"),
            f"1 scores every row of the target, and {adapt[0].kind} reads texts of its other part. Lower it, or let "
            "methods read the scored texts (never their labels) with transfer.transductive: true.",
        )


def adapting_moves_something(tune: Any, heads: Any, adapt: Any) -> Problems:
    """Whether something learns that a term of the loss can move, and tells its labels apart as the term needs."""
    for place, term in enumerate(adapt):
        moves = getattr(term, "moves", None)
        for task, head in heads.items():
            if moves == "features" and head.kind == "linear" and not tune.learns:
                yield (
                    ("adapt", place),
                    f"{term.kind} moves the vectors that heads.{task} reads, and nothing in them learns. Set "
                    f"tune.kind: lora, or heads.{task}.kind: mlp.",
                )
            if (getattr(term, "exclusive", False) or term.kind == "label_shift") and head.multilabel:
                yield (
                    ("adapt", place),
                    f"{term.kind} is defined for labels that exclude one another, and heads.{task} is multilabel.",
                )


def shares_are_moved_from_those_taught(tune: Any, heads: Any, train: Any, encoder: Any, adapt: Any) -> Problems:
    """Whether ``label_shift`` moves the one head that answers, and from the label shares that it was taught."""
    for place, way in enumerate(adapt):
        if way.kind != "label_shift":
            continue
        keeps = next((other.keep_shares for other in adapt if other.kind == "importance"), True)
        for task, head in heads.items():
            if getattr(head, "per", None) is not None:
                yield (
                    ("adapt", place),
                    f"label_shift moves the head that all share, and heads.{task}.per: {head.per} adds to it what was "
                    "fitted before; set per: null, or leave label_shift out.",
                )
            if not learns_further(head, tune, encoder, adapt) or (keeps and train.class_weights is None):
                continue
            what = "adapt: importance with keep_shares: false" if not keeps else "train.class_weights"
            yield (
                ("adapt", place),
                f"label_shift moves a head from the label shares that taught it, and {what} gives heads.{task} others "
                "in training; leave one of them out.",
            )


def guessing_moves_a_body(transfer: Any, tune: Any, adapt: Any) -> Problems:
    """Whether a body may learn by guessing masked tokens, known before heads are solved; that it is one body, those
    rules see to that refuse every way to adapt beside adapters of each domain's or task's own."""
    places = [place for place, way in enumerate(adapt) if way.kind == "tapt"]
    for place in places:
        where = ("adapt", place)
        if not tune.learns:
            yield where, f"tapt teaches the encoder, and tune.kind: {tune.kind} lets nothing learn. Set lora or full."
        elif tune.kind in NO_GUESSING or tune.asks_layers:
            asked = f"kind: {tune.kind}" if tune.kind in NO_GUESSING else "layers: auto"
            yield where, f"tapt comes before tune.{asked} chooses what learns. Set lora, top_layers or full."


NO_GUESSING = ("auto", "contrastive")
"""Kinds of ``tune`` that settle later what learns, or teach the body in a way of their own."""

ADAPT_RULES = (
    selecting_has_rows,
    selecting_tells_labels_apart,
    adapted_once,
    adapting_has_texts,
    adapting_moves_something,
    shares_are_moved_from_those_taught,
    guessing_moves_a_body,
)
