"""What sentence-transformers keeps beside a checkpoint: how its tokens are pooled, and its prompts."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from nlptl.encoder.locate import Located
from nlptl.errors import ModelError

log = logging.getLogger("nlptl")

POOLINGS = ("mean", "cls", "max")
_POOLING_FILE, _PROMPT_FILE = "1_Pooling/config.json", "config_sentence_transformers.json"
_FLAGS = {  # before sentence-transformers 5.2 each mode was a flag of its own
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


def read_settings(located: Located, revision: str | None, *, prompt: str | None) -> tuple[str, str]:
    """The checkpoint's pooling (the mean where it says nothing) and the prompt, ``prompt`` where that is given.

    Raises:
        ModelError: the checkpoint's settings are damaged, or it is pooled in a way that is not one of ``POOLINGS``.
    """
    pooled = _read(located, revision, _POOLING_FILE)
    stated = pooled.get("pooling_mode") or [mode for flag, mode in _FLAGS.items() if pooled.get(flag)] or "mean"
    modes = [stated] if isinstance(stated, str) else list(stated)
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise ModelError(
            f"the encoder {located.name!r} pools by {' + '.join(map(str, modes))} ({_POOLING_FILE}); "
            f"use one that pools by {', '.join(POOLINGS)}."
        )
    if prompt is None:
        described = _read(located, revision, _PROMPT_FILE)
        prompt = str((described.get("prompts") or {}).get(described.get("default_prompt_name")) or "")
    if prompt and pooled.get("include_prompt") is False:
        raise ModelError(
            f"the encoder {located.name!r} leaves its prompt out of the pooling ({_POOLING_FILE}: include_prompt), "
            'which is not supported; set encoder.prompt: "" or use another encoder.'
        )
    return str(modes[0]), prompt


def _read(located: Located, revision: str | None, name: str) -> dict[str, Any]:
    path = Path(located.path) / name if located.local else _fetched(located, revision, name)
    if path is None or not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is damaged ({error}); fetch or save the encoder again.") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} is damaged (no JSON object); fetch or save the encoder again.")
    return content


def _fetched(located: Located, revision: str | None, name: str) -> Path | None:
    """The file of a hub model; loading weights and tokenizer alone does not bring it."""
    import huggingface_hub as hub
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        return Path(hub.hf_hub_download(located.path, name, revision=revision))
    except LocalEntryNotFoundError:
        if hub.try_to_load_from_cache(located.path, name, revision=revision) is None:  # else known to be absent
            log.warning("%s of %s cannot be fetched offline: its defaults are assumed", name, located.name)
    except EntryNotFoundError:
        pass
    return None
