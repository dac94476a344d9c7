"""The recipe: typed sections in flow order. Beside it: ``_recipe_yaml`` (values and their lines), ``_recipe_file``
(extends, overrides), ``_recipe_rules`` (between sections), ``_recipe_problems`` (mistakes in words), ``_recipe_text``
(the resolved whole, its JSON Schema)."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    ModelWrapValidatorHandler,
    Tag,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from nlptl._contracts_adapt import Adapt
from nlptl._recipe_file import Document, read
from nlptl._recipe_problems import in_words, refusal
from nlptl._recipe_rules import broken
from nlptl._recipe_text import as_yaml, json_schema
from nlptl.contracts import Balance, Head, Source, Tune
from nlptl.errors import RecipeError
from nlptl.registry import KindOf, Settings, find

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
        "drop", description="What to do with teaching copies of scored rows."
    )
    near: Share = Field(0.85, gt=0, description="Word-shingle Jaccard similarity from which two texts are near copies.")
    apart: tuple[tuple[str, ...], ...] = Field(
        (), description="Groups of domains that never mix: none is taught by a domain of another group."
    )
    weigh: str = Field(
        "equal",
        pattern=r"^(equal|similarity|nearest:[1-9]\d*)$",
        description="Sources, by their heads' answers to the target's texts: equal, similarity, nearest:k.",
    )
    choose: Literal["auto"] | None = Field(
        None, description="auto: each target gets the solved rung that its evidence supports; none: one head for all."
    )
    transductive: bool = Field(False, description="Let methods read scored texts (never their labels).")


class Encoder(Settings):
    """Text → vectors."""

    model: str = Field("default", description="default, a hub name, or a folder.")
    revision: str | None = Field(None, description="Commit or tag of a hub model.")
    pool: Literal["last", "cls", "layers", "both", "mix", "auto"] = Field(
        "auto", description="The last layer, the mean of all, both, a mix that is learned; auto: what folds prefer."
    )
    max_length: int = Field(128, ge=2, description="Tokens a text, special tokens included.")
    long: Literal["head", "head_tail", "chunks"] = Field("head", description="What is read of texts beyond max_length.")
    lexical: Literal["tfidf"] | None = Field(None, description="Sparse words beside the vectors in solved heads.")
    prompt: str | None = Field(None, description="Put before every text; none: as the checkpoint says.")
    precision: Literal["auto", "float32", "bfloat16"] = Field("auto", description="Of frozen weights.")
    batch_tokens: int = Field(2048, gt=0, description="Tokens a batch when encoding.")
    cache: bool = Field(True, description="Keep vectors in the user's cache folder.")


class Train(Settings):
    """The loop. Not used where every head is solved and the body is frozen."""

    epochs: int = Field(1, ge=0)
    max_steps: int | None = Field(None, gt=0, description="Stop after so many optimizer steps.")
    batch_tokens: int = Field(2048, gt=0, description="Tokens a batch, padding included.")
    batch_rows: int | None = Field(None, gt=0, description="Rows a batch, instead of batch_tokens.")
    accumulate: int = Field(1, gt=0, description="Batches an optimizer step.")
    sampler: Literal["proportional", "temperature", "uniform", "annealed"] = Field(
        "proportional",
        description="Tasks are met by their rows, rows ** (1/T), all as often; or from by rows on.",
    )
    sampler_temperature: float = Field(2.0, ge=1, description="T, where the sampler is temperature.")
    optimizer: Literal["adamw", "adam"] = "adamw"
    lr: float = Field(1e-3, gt=0)
    head_lr: float | None = Field(None, gt=0, description="Of the heads; none: lr.")
    weight_decay: float = Field(0.0, ge=0)
    l2_sp: float = Field(0.0, ge=0, description="Pull of pretrained weights that learn towards their start (L2-SP).")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of each label spread over all labels.")
    class_weights: Literal["balanced"] | None = Field(None, description="balanced: rare labels count more.")
    focal_gamma: float = Field(0.0, ge=0, description="Focal loss: how much less rows count that are easy.")
    r_drop: float = Field(0.0, ge=0, description="R-Drop: weight of the disagreement of two passes under dropout.")
    warmup: Share = Field(0.1, description="Share of the steps over which the learning rate rises.")
    decay: Literal["linear", "cosine", "constant"] = "linear"
    clip: float | None = Field(1.0, gt=0, description="Largest gradient norm.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bf16 frozen weights where the processor has it."
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
    select: Literal["source", "importance", "snd", "entropy"] = Field(
        "source",
        description="Chooses the epoch: source or importance-weighted validation, or snd, entropy on target texts.",
    )
    patience: int | None = Field(None, gt=0, description="Stop after so many epochs without a better validation loss.")
    checkpoint_steps: int = Field(50, gt=0)


class Anomalies(Settings):
    """Rows that are to be told from all others: they never teach, and are scored as anomalies only."""

    label: str = Field(description="Of the first task: the label that such rows have in the data.")
    k: int = Field(10, gt=0, description="The neighbour whose distance counts, for the score knn.")


class Evaluate(Settings):
    """What is measured, and how sure it is."""

    metrics: tuple[str, ...] = ("accuracy", "f1", "auc")
    max_loss: Share = Field(0.01, description="For recall_at_loss: the share of the other label that may be lost.")
    bootstrap: int = Field(1000, ge=100, description="Resamples behind each 95 % interval.")
    seeds: int = Field(1, gt=0, description="Run so many seeds, from the recipe's on, and report them together.")
    matrix: bool = Field(False, description="The source × target matrix of solved heads.")
    negative_transfer: bool = Field(
        False, description="Compare each target's model with a head on its own labels, and name the sources that hurt."
    )
    anomalies: Anomalies | None = Field(None, description="Rows labelled as out of scope, to be told from the rest.")
    solo: bool = Field(False, description="Of several tasks, train each alone too, by the same settings.")


def _one_or_named(data: Any) -> str:
    """``data`` is a mapping of named sources where it holds mappings only; else it is meant as one source."""
    named = (
        isinstance(data, Mapping) and "kind" not in data and all(isinstance(v, Mapping | Source) for v in data.values())
    )
    return "named" if named and data else "one"


def _frozen() -> Any:
    return find("tune", "frozen")()


def _equal() -> Any:
    return find("balance", "equal")()


class Recipe(Settings):
    """One experiment, as data. Never executes code."""

    name: str = Field("run", pattern=r"^[\w.-]+$")
    seed: int = Field(0, ge=0)
    data: Annotated[
        Annotated[Source, KindOf("data"), Tag("one")]
        | Annotated[dict[str, Annotated[Source, KindOf("data")]], Tag("named")],
        Discriminator(_one_or_named),
    ] = Field(description="Where text comes from: one source, or a mapping of named ones.")
    transfer: Transfer = Transfer()
    encoder: Encoder = Encoder()
    tune: Annotated[Tune, KindOf("tune")] = Field(default_factory=_frozen)
    heads: dict[str, Annotated[Head, KindOf("heads")]] = Field(min_length=1, description="Each task and its head.")
    adapt: tuple[Annotated[Adapt, KindOf("adapt")], ...] = Field((), description="What closes the gap to the target.")
    balance: Annotated[Balance, KindOf("balance")] = Field(default_factory=_equal)
    train: Train = Train()
    evaluate: Evaluate = Evaluate()

    @classmethod
    def load(cls, path: str | Path, *overrides: str) -> Recipe:
        """The recipe in the YAML file at ``path``, upon those it ``extends``, changed by ``overrides``.

        Args:
            path: of the YAML file.
            overrides: dotted settings such as ``"train.lr=1e-4"`` or ``"transfer.target=[kitchen-l]"``.

        Raises:
            RecipeError: the file is absent or mistaken; ``problems`` holds one line for each mistake.
        """
        document = read(Path(path), overrides)
        return cls.model_validate(document.root.plain(), context=document)

    def save(self, path: str | Path) -> None:
        """Write the resolved recipe, every default spelled out, so that ``Recipe.load(path)`` equals this one.

        Raises:
            RecipeError: the recipe holds what YAML cannot, such as a table made in a notebook.
        """
        Path(path).write_text(self.to_yaml(), encoding="utf-8")

    def to_yaml(self) -> str:
        """The resolved recipe as YAML, each setting with its meaning; what ``nlptl show`` prints.

        Raises:
            RecipeError: the recipe holds what YAML cannot, such as a table made in a notebook.
        """
        return as_yaml(self)

    def described(self) -> dict[str, Any]:
        """Plain values for the record of a run; data that lives in Python only is described, not held."""
        return self.model_dump(mode="json", context={"described": True})

    def diagnose(self, look: Literal["shift", "senses", "rows"] = "shift") -> Any:
        """Before anything is trained: what differs between sources and targets, which words mean something else there,
        or which rows deserve a second look; see ``nlptl.diagnosing``, ``_diagnosing_senses``, ``_diagnosing_rows``.

        Raises:
            DataError, ModelError: the recipe's data or its encoder cannot be used.
        """
        # Looked up by name, as kinds are: recipes stand above what carries them out.
        return import_module("nlptl.diagnosing").LOOKS[look](self)

    def suggest(self, n: int = 50, by: Literal["uncertainty", "diversity", "both"] = "both") -> Any:
        """A table of the ``n`` rows to label next: ``nlptl._diagnosing_suggest.suggest``."""
        return import_module("nlptl._diagnosing_suggest").suggest(self, n=n, by=by)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """JSON Schema of a recipe file, all kinds included, with which editors complete and check recipes."""
        return json_schema(cls)

    @model_validator(mode="wrap")
    @classmethod
    def _all_problems_at_once(
        cls, values: Any, handler: ModelWrapValidatorHandler[Recipe], info: ValidationInfo
    ) -> Recipe:
        """One RecipeError for all mistakes, those between sections among them, wherever the recipe comes from."""
        document = info.context if isinstance(info.context, Document) else None
        try:
            recipe = handler(values)
            problems = list(broken(dict(recipe)))
        except ValidationError as error:
            problems = [*in_words(error, values, document, cls), *broken(_sound(cls, values))]
        if problems or (document and document.problems):
            raise refusal(document, problems)
        return recipe


def _sound(recipe: type[Recipe], values: Any) -> dict[str, Any]:
    """The sections that are valid in themselves, by name."""
    sound: dict[str, Any] = {}
    for name, field in recipe.model_fields.items():
        try:
            if isinstance(values, Mapping) and name in values:
                alone: Any = Annotated[field.annotation, field]
                sound[name] = TypeAdapter(alone).validate_python(values[name])
            elif not field.is_required():
                sound[name] = field.get_default(call_default_factory=True)
        except (ValidationError, RecipeError):
            continue
    return sound
