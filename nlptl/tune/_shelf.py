"""Adapters of many domains in a folder, of which a bank holds the few that are in use.

``domains.json`` names each domain's folder, which is a hash (PEFT refuses "." in an adapter's name, and names of people
may hold anything). In it lie a stock PEFT adapter and ``heads.safetensors``: the weights of the domain's own heads.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from nlptl.contracts import Ints
from nlptl.errors import ModelError
from nlptl.tune._adapter import WEIGHTS
from nlptl.tune._bank import Bank

if TYPE_CHECKING:
    from peft import LoraConfig

INDEX = "domains.json"
HEADS = "heads.safetensors"


def adapter_id(domain: str) -> str:
    """The folder and PEFT adapter name of ``domain``: 16 hexadecimal digits."""
    return hashlib.sha256(domain.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def put_away(bank: Bank, slot: int, domain: str, folder: Path, base_name: str) -> None:
    """Write a slot to the shelf in ``folder`` as the adapter of ``domain``; ``index`` makes it known.

    Args:
        base_name: what the encoder is called where the adapter will be loaded.
    """
    own = folder / adapter_id(domain)
    own.mkdir(parents=True, exist_ok=True)
    save_file(bank.adapter(slot), own / WEIGHTS, metadata={"format": "pt"})
    save_file(bank.head_state(slot), own / HEADS)
    write_config(bank, own, base_name)


def index(bank: Bank, domains: Sequence[str], folder: Path, base_name: str) -> None:
    """Say which domains the shelf in ``folder`` has adapters of, and how they are shaped."""
    folder.mkdir(parents=True, exist_ok=True)
    known = {domain: adapter_id(domain) for domain in domains}
    write_whole(folder / INDEX, json.dumps(known, indent=1, ensure_ascii=False))
    write_config(bank, folder, base_name)


def write_whole(file: Path, text: str) -> None:
    """Write ``file`` whole or not at all: a kill leaves what was there."""
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)


def write_config(bank: Bank, folder: Path, base_name: str) -> None:
    """Say, as PEFT does, how the adapters of ``bank`` are shaped."""
    config = deepcopy(bank.config)
    config.base_model_name_or_path, config.inference_mode = base_name, True
    config.save_pretrained(str(folder))


def read_config(folder: Path) -> LoraConfig:
    """How the adapters in ``folder`` are shaped.

    Raises:
        ModelError: it is absent or damaged.
    """
    from peft import LoraConfig

    try:
        config = LoraConfig.from_pretrained(str(folder))
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"the adapters in {folder} cannot be read ({error}); save the model again.") from error
    assert isinstance(config, LoraConfig)
    return config


class Shelf:
    """The adapters in ``folder``, loaded when they are first needed into the slots of ``bank``.

    The bank's slots bound the memory: where they are taken, the adapter that was longest not in use gives way.
    """

    def __init__(self, folder: Path, bank: Bank) -> None:
        try:
            known = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ModelError(f"the adapters in {folder} cannot be read ({error}); save the model again.") from error
        self.folder, self.bank, self._known = folder, bank, dict(known)
        self._seated: OrderedDict[str, int] = OrderedDict()
        self._free = list(range(1, bank.slots))

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains that have an adapter."""
        return tuple(self._known)

    def copy(self, folder: Path) -> None:
        """Copy all adapters to ``folder``, if that is another than their own."""
        if folder.resolve() != self.folder.resolve():
            shutil.copytree(self.folder, folder, dirs_exist_ok=True)

    def groups(self, domains: Sequence[str | None]) -> Iterator[Ints]:
        """Places in ``domains``, a group at a time, such that a group's adapters fit the bank together."""
        known = np.array([domain if domain in self._known else "" for domain in domains], dtype=object)
        distinct, which = np.unique(known.astype(str), return_inverse=True)
        order = np.argsort(which, kind="stable")
        for start in range(0, len(distinct), self.bank.slots - 1):
            inside = (which[order] >= start) & (which[order] < start + self.bank.slots - 1)
            yield order[inside]

    def seat(self, domains: Sequence[str | None]) -> Ints:
        """(rows,) the slot of each row's domain, loading what is not loaded; 0 for a domain without an adapter.

        Raises:
            ModelError: an adapter is absent or damaged, or there are more domains than slots.
        """
        needed = dict.fromkeys(domain for domain in domains if domain is not None and domain in self._known)
        if len(needed) >= self.bank.slots:
            raise ModelError(
                f"{len(needed)} adapters were asked for at once, and the bank has {self.bank.slots - 1} slots."
            )
        for domain in needed:
            if domain in self._seated:
                self._seated.move_to_end(domain)
        for domain in needed:
            if domain not in self._seated:
                self._load(domain)
        return np.array([0 if domain is None else self._seated.get(domain, 0) for domain in domains], dtype=np.int64)

    def _load(self, domain: str) -> None:
        own = self.folder / adapter_id(domain)
        try:
            adapter, heads = load_file(own / WEIGHTS), load_file(own / HEADS)
        except (OSError, SafetensorError) as error:
            raise ModelError(
                f"the adapter of {domain!r} in {own} is damaged ({error}); save the model again."
            ) from error
        if not self._free:
            self._free.append(self._seated.popitem(last=False)[1])
        self.bank.put(self._free[-1], adapter, heads)
        self._seated[domain] = self._free.pop()
