"""The sections of a recipe that hold no kinds, in flow order."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from nlptl.contracts.cold import ColdStart
from nlptl.registry import Settings

Share = Annotated[float, Field(ge=0, le=1)]
Names = str | tuple[str, ...]


class Transfer(Settings):
    """Who teaches whom, which rows are scored, and what the target may show."""

    source: Names = Field("*", description="Domains that teach: names or globs.")
    target: Names = Field("*", description="Domains that are served: names or globs.")
    protocol: Literal["joint", "leave_one_out"] = Field(
        "joint", description="joint: one model for all targets; leave_one_out: each target in turn, taught by the rest."
    )
    target_labels: Literal["all"] | Annotated[int, Field(ge=0)] = Field(
        "all", description="Labels of a target that teach, of the rows not scored: 0, so many a class, or all."
    )
    hold_out: Share | None = Field(
        None,
        gt=0,
        description="Share of a target's rows that is scored (1: all); none: the official test split, else 0.2.",
    )
    order: Literal["random", "time"] = Field("random", description="Which rows are scored: by row id, or the latest.")
    leaks: Literal["drop", "keep", "fail"] = Field(
        "drop",
        description="Copies that teach, of scored rows or validation rows that choose. Rows that taught encoder.model "
        "stop all but keep.",
    )
    near: Share = Field(0.85, gt=0, description="Word-shingle Jaccard similarity from which two texts are near copies.")
    apart: tuple[tuple[str, ...], ...] = Field(
        (),
        description="Groups of domains, names or globs, that never mix: none is taught by a domain of another group.",
    )
    weigh: str = Field(
        "equal",
        pattern=r"^(equal|similarity|nearest:[1-9]\d*)$",
        description="Sources, by their heads' answers to the target's texts: equal, similarity, nearest:k.",
    )
    through: Names = Field(
        (),
        description="Distant transfer: domains that lie between source and target; their texts are read, not labels.",
    )
    choose: Literal["auto"] | None = Field(
        None,
        description="auto: each target gets the rung, solved or trained, that its evidence supports; none: one.",
    )
    rehearsals: int = Field(
        3,
        ge=1,
        le=3,
        description="For choose: trainings without a third of the sources each, to see what tune is worth.",
    )
    transductive: bool = Field(False, description="Let methods read scored texts (never their labels).")


class Encoder(Settings):
    """Text → vectors."""

    model: str = Field("default", description="default, a hub name, a folder, or an earlier run or model.")
    among: tuple[str, ...] = Field(
        (), description="Encoders or runs that model is chosen from, by solved heads on folds."
    )
    take: tuple[Literal["body", "adapter", "heads"], ...] = Field(
        ("body", "adapter"), min_length=1, description="What of an earlier run is gone on with: body, adapter, heads."
    )
    revision: str | None = Field(None, description="Commit or tag of a hub model.")
    pool: Literal["last", "cls", "layers", "both", "mix", "auto"] = Field(
        "auto", description="The last layer, the mean of all, both, a mix that is learned; auto: what folds prefer."
    )
    max_length: int = Field(128, ge=2, description="Tokens a text, special tokens included.")
    long: Literal["head", "head_tail", "chunks"] = Field("head", description="What is read of texts beyond max_length.")
    lexical: Literal["tfidf"] | None = Field(None, description="Sparse words beside the vectors in solved heads.")
    prompt: str | None = Field(None, description="Put before every text; none: as the checkpoint says.")
    precision: Literal["auto", "float32", "bfloat16"] = Field("auto", description="Of frozen weights.")
    batch_tokens: int | None = Field(
        None, gt=0, description="Tokens a batch when encoding; null: 2,048, and 16,384 on a card."
    )
    cache: bool = Field(True, description="Keep vectors in the user's cache folder.")


class Train(Settings):
    """The loop. Not used where every head is solved and the body is frozen."""

    epochs: int = Field(1, ge=0, description="Passes over the rows that teach; fewer where patience stops.")
    max_steps: int | None = Field(None, gt=0, description="Stop after so many optimizer steps.")
    batch_tokens: int = Field(2048, gt=0, description="Tokens a batch, padding included.")
    batch_rows: int | None = Field(None, gt=0, description="Rows a batch, instead of batch_tokens.")
    accumulate: int = Field(1, gt=0, description="Batches an optimizer step.")
    sampler: Literal["proportional", "temperature", "uniform", "annealed"] = Field(
        "proportional",
        description="Tasks are met by their rows; temperature: by rows ** (1/T); uniform: alike; "
        "annealed: ever more alike.",
    )
    sampler_temperature: float = Field(2.0, ge=1, description="T, where the sampler is temperature.")
    optimizer: Literal["adamw", "adam"] = Field(
        "adamw", description="Adam with weight decay beside its steps (adamw) or within the gradient (adam)."
    )
    lr: float = Field(
        1e-3, gt=0, description="Peak learning rate of adapters and heads; pretrained weights learn at tune.lr."
    )
    head_lr: float | None = Field(None, gt=0, description="Of the heads; none: lr.")
    weight_decay: float = Field(
        0.0, ge=0, description="Pull of all weights that learn towards 0: their share a step is this times lr (adamw)."
    )
    l2_sp: float = Field(0.0, ge=0, description="Pull of pretrained weights that learn towards their start (L2-SP).")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of each label spread over all labels.")
    class_weights: Literal["balanced"] | None = Field(None, description="balanced: rare labels count more.")
    focal_gamma: float = Field(0.0, ge=0, description="Focal loss: how much less rows count that are easy.")
    r_drop: float = Field(0.0, ge=0, description="R-Drop: weight of the disagreement of two passes under dropout.")
    mixout: float = Field(
        0.0, ge=0, lt=1, description="Share of the pretrained weights that learn which are at their start in a step."
    )
    average: Literal["ema", "swa"] | None = Field(
        None, description="What answers: an exponential or plain mean of the weights over the steps; none: the last."
    )
    average_decay: float = Field(0.99, ge=0, lt=1, description="Of ema: what stays of the average at a step.")
    average_start: Share = Field(0.0, description="The share of the run from which on weights are averaged.")
    warmup: Share = Field(0.1, description="Share of the steps over which the learning rate rises.")
    decay: Literal["linear", "cosine", "constant"] = Field(
        "linear", description="How the learning rate falls to 0 after warmup; constant: it does not."
    )
    clip: float | None = Field(1.0, gt=0, description="Largest gradient norm.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bf16 frozen weights where the processor is faster at it."
    )
    dropout: bool = Field(
        True, description="Dropout inside the encoder, as the checkpoint has it; false: none, and faster steps."
    )
    validation: Share = Field(
        0.0,
        lt=1,
        description="Share of the teaching rows that choose the epoch, if no official split does.",
    )
    validation_rows: Literal["random", "last"] = Field("random", description="last: the last rows, as Keras does.")
    refit: bool = Field(
        False,
        description="Once the held-back rows have chosen, train anew on all rows for as many epochs, and serve that.",
    )
    select: Literal["source", "importance", "snd", "entropy"] = Field(
        "source",
        description="Chooses the epoch: source or importance-weighted validation, or snd, entropy on target texts.",
    )
    reuse: bool = Field(
        True,
        description="Run frozen lower layers once a text, not once an epoch, where a quarter of free memory holds it.",
    )
    patience: int | None = Field(None, gt=0, description="Stop after so many epochs without a better validation loss.")
    checkpoint_steps: int = Field(
        50, gt=0, description="Optimizer steps between checkpoints, from which --resume goes on."
    )


class Anomalies(Settings):
    """Rows that are to be told from all others: they never teach, and are scored as anomalies only."""

    label: str = Field(description="Of the first task: the label that such rows have in the data.")
    k: int = Field(10, gt=0, description="The neighbour whose distance counts, for the score knn.")


class Evaluate(Settings):
    """What is measured, and how sure it is."""

    metrics: tuple[str, ...] = Field(
        ("accuracy", "f1", "auc"),
        description="Of the scored rows: accuracy, f1, auc, ece, classwise_ece, recall_at_loss, or an installed one.",
    )
    max_loss: Share = Field(0.01, description="For recall_at_loss: the share of the other label that may be lost.")
    bootstrap: int = Field(1000, ge=100, description="Resamples behind each 95 % interval.")
    seeds: int = Field(1, gt=0, description="Run so many seeds, from the recipe's on, and report them together.")
    matrix: bool = Field(False, description="The source × target matrix of solved heads.")
    negative_transfer: bool = Field(
        False, description="Compare each target's model with a head on its own labels, and name the sources that hurt."
    )
    cold_start: ColdStart | None = Field(None, description="The curve of labels a class, for each target; none: no.")
    anomalies: Anomalies | None = Field(None, description="Rows labelled as out of scope, to be told from the rest.")
    solo: bool = Field(False, description="Of several tasks, train each alone too, by the same settings.")
    scratch: bool = Field(
        False, description="Train the same architecture from random weights too: what transfer saves."
    )
    scratch_lr: float = Field(5e-4, gt=0, description="Peak learning rate of the encoder that starts from scratch.")
