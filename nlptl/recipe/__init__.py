"""The recipe: typed sections in flow order. Beside it: ``recipe.sections`` (those without kinds), ``recipe.yaml``
(values and their lines), ``recipe.file`` (extends, overrides), ``recipe.rules`` (between sections),
``recipe.problems`` (mistakes in words), ``recipe.text`` (the resolved whole, its JSON Schema)."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

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

from nlptl.contracts import Balance, Head, Source, Tune
from nlptl.contracts.adapt import Adapt
from nlptl.contracts.augment import Augment
from nlptl.errors import RecipeError
from nlptl.recipe.chain import with_before
from nlptl.recipe.file import Document, read
from nlptl.recipe.problems import in_words, refusal
from nlptl.recipe.rules import broken
from nlptl.recipe.sections import Encoder, Evaluate, Train, Transfer
from nlptl.recipe.text import as_yaml, json_schema
from nlptl.registry import KindOf, Settings, find

if TYPE_CHECKING:
    import pandas as pd

    from nlptl.diagnosing.found import Found

__all__ = ["Encoder", "Evaluate", "Recipe", "Train", "Transfer"]


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

    name: str = Field(
        "run", pattern=r"^[\w-][\w.-]*$", description="Of the run, whose folder is runs/<name> unless told."
    )
    seed: int = Field(0, ge=0, description="Of all that is drawn: rows, folds, weights, batches, dropout, resamples.")
    before: Recipe | None = Field(None, description="A recipe that runs first; encoder.model: before goes on from it.")
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
    augment: tuple[Annotated[Augment, KindOf("augment")], ...] = Field(
        (), description="More views of the rows that teach; kept only where validation gains."
    )
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

    @property
    def first_source(self) -> Source:
        """Where text comes from; of several sources the first."""
        return self.data if isinstance(self.data, Source) else next(iter(self.data.values()))

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

    def diagnose(self, look: Literal["shift", "senses", "rows"] = "shift") -> Found:
        """Before anything is trained: what differs between sources and targets, which words mean something else there,
        or which rows deserve a second look; see ``nlptl.diagnosing``, ``diagnosing.senses``, ``diagnosing.rows``.

        Raises:
            DataError, ModelError: the recipe's data or its encoder cannot be used.
        """
        # Looked up by name, as kinds are: recipes stand above what carries them out.
        found: Found = import_module("nlptl.diagnosing").LOOKS[look](self)
        return found

    def suggest(self, n: int = 50, by: Literal["uncertainty", "diversity", "both"] = "both") -> pd.DataFrame:
        """A table of the ``n`` rows to label next: ``nlptl.diagnosing.suggest.suggest``."""
        table: pd.DataFrame = import_module("nlptl.diagnosing.suggest").suggest(self, n=n, by=by)
        return table

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
        if isinstance(values, cls):
            return values
        document = info.context if isinstance(info.context, Document) else None
        values, of_before = with_before(cls, values, document)
        try:
            recipe = handler(values)
            problems = list(broken(dict(recipe)))
        except ValidationError as error:
            problems = [*in_words(error, values, document, cls), *broken(_sound(cls, values))]
        if problems or of_before or (document and document.problems):
            raise refusal(document, problems, of_before)
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
