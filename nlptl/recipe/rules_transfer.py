"""Rules of the section ``transfer``: who teaches, what may be asked of a target, and what that needs elsewhere."""

from typing import Any

from nlptl.recipe.rules_labels import Problems, sources


def someone_teaches(transfer: Any, heads: Any) -> Problems:
    """Whether rows remain that teach, as far as the patterns tell, where some head must be taught."""
    if not any(head.needs_labels for head in heads.values()):
        return
    source, target = _names(transfer.source), _names(transfer.target)
    all_served = "*" in target or source <= target
    everything_scored = transfer.hold_out == 1 and transfer.target_labels != 0
    if transfer.protocol == "leave_one_out":
        return
    if transfer.target_labels == 0 and all_served:
        yield (
            ("transfer", "target_labels"),
            "0 hides the labels of every target, and every source is a target too: nobody teaches. Name the target, "
            "such as transfer.target: [kitchen-l], or set transfer.protocol: leave_one_out.",
        )
    elif everything_scored and all_served:
        yield (
            ("transfer", "hold_out"),
            "1 scores every row of every target, and every source is a target too: nobody teaches. Lower it, name the "
            "target, or set transfer.protocol: leave_one_out.",
        )


def labels_to_take(transfer: Any) -> Problems:
    """Whether a target has unscored rows whose labels may be asked for."""
    if transfer.hold_out == 1 and isinstance(transfer.target_labels, int) and transfer.target_labels > 0:
        yield (
            ("transfer", "target_labels"),
            f"{transfer.target_labels} labels a class cannot be taken from a target whose rows are all scored "
            "(transfer.hold_out: 1). Set transfer.target_labels: 0 or lower transfer.hold_out.",
        )


def time_order(data: Any, transfer: Any) -> Problems:
    """Whether rows that are to be ordered by time have one."""
    if transfer.order == "time":
        for path, source in sources(data):
            if source.time is None:
                yield (*path, "time"), "is missing, and transfer.order: time needs it; name the column of the time."


def groups_stay_apart(transfer: Any) -> Problems:
    """Whether no domain is in two groups."""
    members = [name for group in transfer.apart for name in group]
    for name in sorted({name for name in members if members.count(name) > 1}):
        yield ("transfer", "apart"), f"{name!r} is in two groups; keep it in one."


def sources_are_weighed(transfer: Any, tune: Any, heads: Any) -> Problems:
    """Whether weights of sources have texts to be told by, and heads to act upon."""
    if transfer.weigh == "equal":
        return
    if transfer.hold_out == 1 and not transfer.transductive:
        yield (
            ("transfer", "weigh"),
            f"{transfer.weigh} reads the target's unlabelled texts, and transfer.hold_out: 1 leaves none. Lower it, or "
            "set transfer.transductive: true.",
        )
    if transfer.choose is not None:
        yield ("transfer", "weigh"), f"{transfer.weigh} and transfer.choose cannot be asked together; keep one."
    if tune.learns or any(head.kind != "linear" for head in heads.values()):
        yield ("transfer", "weigh"), f"{transfer.weigh} acts on solved heads only: tune.kind frozen, heads linear."


def distant_is_solved(transfer: Any, tune: Any, heads: Any, adapt: Any, encoder: Any) -> Problems:
    """Whether what goes through domains in between is a solved head of a target without labels, and nothing else."""
    if not transfer.through:
        return
    place = ("transfer", "through")
    if transfer.target_labels != 0:
        yield place, "is for targets without labels; set transfer.target_labels: 0, or leave it empty."
    if transfer.hold_out == 1 and not transfer.transductive:
        yield place, "ends at the target's unlabelled texts, and transfer.hold_out: 1 leaves none; lower it."
    if transfer.weigh != "equal" or transfer.choose is not None or adapt:
        yield place, "stands alone: set transfer.weigh: equal, transfer.choose: null and adapt: []."
    if tune.learns or encoder.lexical is not None or encoder.pool == "mix":
        yield place, "acts on stored vectors alone: tune.kind frozen, encoder.lexical null, another pool than mix."
    for task, head in heads.items():
        plain = head.kind == "linear" and head.per is None and head.calibrate is None
        if not plain or head.multilabel:
            yield (
                ("heads", task),
                "goes through domains in between (transfer.through), which takes kind linear, shared, not calibrated, "
                "and labels that exclude one another.",
            )


def rungs_can_be_rehearsed(transfer: Any, encoder: Any, tune: Any, heads: Any, adapt: Any, train: Any) -> Problems:
    """Whether all that ``choose`` compares is solved, or can be trained for every rehearsal."""
    if transfer.choose is None:
        return
    if tune.kind == "auto":
        yield ("transfer", "choose"), "auto compares solved heads with one kind of training, and tune.kind is auto too."
    elif tune.learns:
        yield from _training_can_be_rehearsed(encoder, tune, heads, train)
    if encoder.pool == "mix":
        yield ("transfer", "choose"), "auto compares solved heads, and pool: mix has none. Choose another encoder.pool."
    if adapt:
        yield (
            ("transfer", "choose"),
            f"auto compares what is solved or trained without adapt: {adapt[0].kind}; a correction of label shift is "
            "among it. Set adapt: [].",
        )
    for task, head in heads.items():
        if head.kind != "linear":
            yield ("heads", task, "kind"), f"transfer.choose: auto compares solved heads, and {head.kind} is none."


def _training_can_be_rehearsed(encoder: Any, tune: Any, heads: Any, train: Any) -> Problems:
    """A body is trained once for all tasks, and adapters of single domains side by side, over vectors alone."""
    where = ("transfer", "choose")
    if len(heads) > 1:
        yield where, "auto rehearses training on one task, and there are several. Set tune.kind: frozen, or one head."
    if tune.kind == "lora" and tune.per == "domain" and encoder.lexical is not None:
        yield (
            where,
            "auto rehearses domains' own LoRA over vectors alone. Drop encoder.lexical, or tune.per: domain.",
        )
    if train.select != "source":
        yield (
            ("train", "select"),
            f"{train.select} reads texts of the target that are not scored, and where sources play its part for "
            "transfer.choose: auto none is left; set source, or choose: null.",
        )


def _names(names: str | tuple[str, ...]) -> set[str]:
    return {names} if isinstance(names, str) else set(names)
