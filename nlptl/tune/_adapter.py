"""Adapters on a body: add, save as a plain PEFT folder, load."""

import json
import warnings
from copy import deepcopy
from pathlib import Path

from peft import (
    LoraConfig,
    PeftConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from nlptl.errors import ModelError
from nlptl.tune._fused import FusedLinear

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"


def add_adapter(body: nn.Module, config: PeftConfig) -> PeftModel:
    """``body`` with a new adapter as ``config`` says, all else frozen. Adapter weights are float32."""
    assert isinstance(body, PreTrainedModel)
    if isinstance(config, LoraConfig):
        config._register_custom_module({nn.Linear: FusedLinear})
    with warnings.catch_warnings():  # peft 0.21 asks for a name that transformers 5.23 renamed
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        model = get_peft_model(body, config, autocast_adapter_dtype=True)
    assert isinstance(model, PeftModel)
    return model


def save_adapter(body: nn.Module, folder: Path, base_name: str) -> None:
    """Write the adapter of ``body`` to ``folder`` as PEFT does, so that plain ``peft`` loads it.

    Not through ``save_pretrained``: that may ask the hub about the base, and writes the base's path on this machine.

    Args:
        base_name: what the base is called where the adapter will be loaded: a hub name, or a path as the user gave it.
    """
    assert isinstance(body, PeftModel)
    folder.mkdir(parents=True, exist_ok=True)
    state = get_peft_model_state_dict(body, save_embedding_layers=False)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    config = deepcopy(body.peft_config["default"])
    config.base_model_name_or_path = base_name
    config.inference_mode = True
    config.save_pretrained(str(folder))


def load_adapter(body: nn.Module, folder: Path) -> PeftModel:
    """``body`` with the adapter saved in ``folder``, for prediction: nothing requires gradients.

    Raises:
        ModelError: a file is absent or damaged, or the adapter does not fit the body (PEFT would only warn).
    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise ModelError(f"no {name} in {folder}: this is not a complete adapter; save the model again.")
    try:
        config = PeftConfig.from_pretrained(str(folder))
        state = load_file(folder / WEIGHTS)
    except (json.JSONDecodeError, UnicodeDecodeError, SafetensorError) as error:
        raise ModelError(f"the adapter in {folder} is damaged ({error}); save the model again.") from error
    try:
        config.base_model_name_or_path = None  # else PEFT warns wherever the base lies in another place than it did
        model = add_adapter(body, config)
    except ValueError as error:  # no path of the body matches the adapter's target modules
        raise ModelError(f"the adapter in {folder} was made for another encoder than {type(body).__name__}.") from error
    _check_same(state, get_peft_model_state_dict(model, save_embedding_layers=False), folder)
    set_peft_model_state_dict(model, state)
    return model.requires_grad_(False)


def _check_same(state: dict[str, Tensor], wanted: dict[str, Tensor], folder: Path) -> None:
    differing = {name for name in state.keys() & wanted.keys() if state[name].shape != wanted[name].shape}
    differing |= state.keys() ^ wanted.keys()
    if differing:
        raise ModelError(
            f"the adapter in {folder} does not fit this encoder: {len(differing)} weights are missing, unknown or of "
            f"another shape, such as {min(differing)}."
        )
