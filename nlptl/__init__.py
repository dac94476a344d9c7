"""Transfer learning for text: a short recipe becomes the model that serves each domain best.

    >>> import nlptl
    >>> run = nlptl.fit(nlptl.Recipe.load("recipes/quickstart.yaml", "train.lr=5e-4"))
    >>> run.predict(["You have won a cruise"], domain="kitchen-l")

What is named here is imported when it is first used, so that ``import nlptl`` is quick and loads no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nlptl import adapt, augment, balance, data, diagnose, export, heads, tune
    from nlptl.errors import DataError, ModelError, NlptlError, RecipeError, RunError
    from nlptl.fitting import fit
    from nlptl.fitting.run import Run
    from nlptl.recipe import Recipe
    from nlptl.saved import Model, load

__version__ = "0.1.0"

__all__ = [
    "DataError",
    "Model",
    "ModelError",
    "NlptlError",
    "Recipe",
    "RecipeError",
    "Run",
    "RunError",
    "__version__",
    "adapt",
    "augment",
    "balance",
    "data",
    "diagnose",
    "export",
    "fit",
    "heads",
    "load",
    "tune",
]

_HOMES = {
    "errors": ("DataError", "ModelError", "NlptlError", "RecipeError", "RunError"),
    "fitting": ("Run", "fit"),
    "recipe": ("Recipe",),
    "saved": ("Model", "load"),
}
_ROOMS = ("adapt", "augment", "balance", "data", "diagnose", "export", "heads", "tune")


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"nlptl.{name}")
    for module, names in _HOMES.items():
        if name in names:
            found = globals()[name] = getattr(import_module(f"nlptl.{module}"), name)
            return found
    raise AttributeError(f"module 'nlptl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
