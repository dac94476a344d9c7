"""Stacked adapters: each row through its own, each slot a stock PEFT adapter, few in memory and many on disk."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel
from tiny_bodies import FAMILIES, holding, tiny_body
from transformers import AutoModel

from nlptl.encoder._packed import packs, run_packed
from nlptl.encoder.tokens import TokenBatch
from nlptl.errors import ModelError
from nlptl.tune import Lora
from nlptl.tune._bank import Bank, low_rank, own_linear
from nlptl.tune._shelf import INDEX, Shelf, adapter_id, index, put_away
from nlptl.tune._task_bank import TaskBank

PEOPLE = ("ann.lee@example.org", "bob", "bobby", "Ünal/ü", "v1.2")
IDS = torch.tensor([[1, 7, 8, 9, 10, 2], [1, 11, 12, 2, 0, 0], [1, 7, 8, 9, 10, 2]])


def stacked(body: Any, slots: int = 3, **settings: Any) -> Bank:
    """A bank whose slots 1, 2, … hold adapters and heads that differ."""
    bank = Lora(rank=2, targets="all", together=slots, **settings).stack(holding(body))
    bank.own_head("spam", torch.nn.Linear(32, 1))
    for slot in range(1, bank.slots):
        fill(bank, slot, seed=slot)
    return bank


def fill(bank: Bank, slot: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    bank.draw(slot, generator)
    with torch.no_grad():
        for layer in bank.layers.values():
            layer.lora_B[slot].normal_(std=0.1, generator=generator)
        bank.heads["spam"].weight[slot].normal_(generator=generator)


def hidden(body: Any, ids: torch.Tensor = IDS) -> torch.Tensor:
    return body(input_ids=ids, attention_mask=(ids != 0).long()).last_hidden_state


def through(bank: Bank, body: Any, slots: list[int]) -> torch.Tensor:
    with torch.no_grad(), bank.route.taken(torch.tensor(slots), torch.arange(len(slots))):
        return hidden(body)


def test_each_row_is_multiplied_by_its_own_factors() -> None:
    generator = torch.Generator().manual_seed(0)
    x, a, b = (torch.randn(*shape, generator=generator) for shape in ((4, 5, 6), (3, 2, 6), (3, 7, 2)))
    slots = [2, 0, 2, 1]
    expected = torch.stack([row @ a[slot].T @ b[slot].T * 0.5 for row, slot in zip(x, slots, strict=True)])
    torch.testing.assert_close(low_rank(x, a, b, torch.tensor(slots), 0.5), expected)
    weight, bias = torch.randn(3, 2, 6, generator=generator), torch.randn(3, 2, generator=generator)
    expected = torch.stack([weight[slot] @ row[0] + bias[slot] for row, slot in zip(x, slots, strict=True)])
    torch.testing.assert_close(own_linear(x[:, 0], weight, bias, torch.tensor(slots)), expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_slot_is_a_stock_peft_adapter(family: str, tmp_path: Path) -> None:
    tiny_body(family).save_pretrained(tmp_path / "base")
    body = tiny_body(family)
    bank = stacked(body, rslora=family == "roberta")
    mixed = through(bank, body, [1, 3, 2])
    for row, slot in enumerate((1, 3, 2)):
        put_away(bank, slot, PEOPLE[slot], tmp_path, "team/encoder")
        plain = AutoModel.from_pretrained(tmp_path / "base")
        name = adapter_id(PEOPLE[slot])
        plain = PeftModel.from_pretrained(plain, str(tmp_path / name), adapter_name=name).eval()
        torch.testing.assert_close(mixed[row], hidden(plain)[row], rtol=0, atol=1e-4)
        assert (mixed[row] - hidden(tiny_body(family))[row]).abs().max() > 1e-3


def test_slot_zero_is_the_pretrained_body() -> None:
    body = tiny_body("bert")
    torch.testing.assert_close(through(stacked(body), body, [0, 0, 0]), hidden(tiny_body("bert")), rtol=0, atol=1e-6)


@pytest.mark.parametrize("bank_of", [Bank, TaskBank])
def test_rows_end_to_end_go_through_their_own_slots(bank_of: type[Bank]) -> None:
    lengths = torch.tensor([3, 17, 8, 1])
    mask = torch.arange(20) < lengths[:, None]
    ids = torch.randint(3, 50, mask.shape, generator=torch.Generator().manual_seed(0)) * mask
    owners = torch.tensor([0, 1, 1, 2])  # the second text comes in two sequences
    batch = TokenBatch(ids, mask.long(), None, owners, 3)
    body = tiny_body("bert")
    config = LoraConfig(r=2, lora_alpha=4, lora_dropout=0.0, target_modules=r".*\.(query|value)")
    bank: Bank = TaskBank(body, config, ("a", "b", "c", "d")) if bank_of is TaskBank else Bank(body, config, 4)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, part in body.named_parameters():
            if ".lora_" in name:
                part.normal_(std=0.1, generator=generator)
    found: list[list[torch.Tensor]] = []
    for run in (lambda: run_packed(body, batch, output_hidden_states=False), lambda: body(**batch.given())):
        body.zero_grad()
        with bank.route.taken(torch.tensor([2, 0, 3]), owners):
            hidden = run().last_hidden_state[mask]
        hidden.pow(2).sum().backward()
        found.append(
            [
                hidden.detach(),
                *(part.grad for layer in bank.layers.values() for part in layer.parameters() if part.grad is not None),
            ]
        )
    assert packs(body, batch)
    assert len(found[0]) > 2 * len(bank.layers)
    for packed, padded in zip(*found, strict=True):
        torch.testing.assert_close(packed, padded, atol=1e-4, rtol=1e-4)
    assert all(layer.packing is None for layer in bank.layers.values())


def test_a_slot_is_drawn_as_peft_draws() -> None:
    torch.manual_seed(5)
    drawn = Lora(rank=2).apply(holding(tiny_body("bert"))).body
    bank = Lora(rank=2, together=1).stack(holding(tiny_body("bert")))
    bank.draw(1, torch.Generator().manual_seed(5))
    for path, layer in bank.layers.items():
        theirs = drawn.base_model.model.get_submodule(path)
        assert layer.lora_A[1].std().item() == pytest.approx(theirs.lora_A["default"].weight.std().item(), rel=0.3)
        assert layer.lora_A[1].abs().max() <= theirs.lora_A["default"].weight.abs().max() * 1.5
        assert not layer.lora_B[1].any()


def test_a_body_that_sends_more_than_the_texts_through_a_matrix_is_refused() -> None:
    body = tiny_body("bert")
    bank = stacked(body)
    with pytest.raises(ModelError, match="relative positions"), bank.route.taken(torch.tensor([1]), torch.tensor([0])):
        hidden(body)


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A folder of five people's adapters."""
    bank = stacked(tiny_body("bert"), slots=1)
    for seed, person in enumerate(PEOPLE):
        fill(bank, 1, seed)
        put_away(bank, 1, person, tmp_path, "team/encoder")
    index(bank, PEOPLE, tmp_path, "team/encoder")
    return tmp_path


def answers(folder: Path, slots: int, people: list[str | None]) -> torch.Tensor:
    """The hidden state of one text as each of ``people`` sees it, from a bank of so many slots."""
    body = tiny_body("bert")
    served = Shelf(folder, stacked(body, slots))
    found: dict[int, torch.Tensor] = {}
    for rows in served.groups(people):
        seats = served.seat([people[row] for row in rows])
        with torch.no_grad(), served.bank.route.taken(torch.from_numpy(seats), torch.arange(len(rows))):
            found |= dict(zip(rows.tolist(), hidden(body, IDS[:1].repeat(len(rows), 1)), strict=True))
    assert sorted(found) == list(range(len(people)))
    return torch.stack([found[row] for row in range(len(people))])


def test_a_small_bank_answers_for_many_people_as_a_large_one_does(shelf: Path) -> None:
    people = [*PEOPLE, None, "stranger", *reversed(PEOPLE), PEOPLE[0]]
    everyone = answers(shelf, 8, people)
    for slots in (1, 2, 3):
        torch.testing.assert_close(answers(shelf, slots, people), everyone, rtol=0, atol=1e-6)
    plain = hidden(tiny_body("bert"), IDS[:1])[0]
    torch.testing.assert_close(everyone[5], plain, rtol=0, atol=1e-6)
    torch.testing.assert_close(everyone[6], plain, rtol=0, atol=1e-6)
    torch.testing.assert_close(everyone[0], everyone[11], rtol=0, atol=1e-6)
    assert (everyone[0] - everyone[1]).abs().max() > 1e-3


def test_the_adapter_longest_out_of_use_gives_way(shelf: Path) -> None:
    served = Shelf(shelf, stacked(tiny_body("bert"), 2))
    first = served.seat(["bob", "bobby"])
    again = served.seat(["bob"])
    assert again[0] == first[0]
    assert served.seat(["v1.2"])[0] == first[1]
    assert served.seat(["bob"])[0] == first[0]
    with pytest.raises(ModelError, match="3 adapters were asked for at once, and the bank has 2 slots"):
        served.seat(["bob", "bobby", "v1.2"])


def test_a_damaged_adapter_is_named_and_costs_no_slot(shelf: Path) -> None:
    served = Shelf(shelf, stacked(tiny_body("bert"), 2))
    weights = shelf / adapter_id("bobby") / "adapter_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:100])
    served.seat(["bob", "v1.2"])
    for _ in range(3):
        with pytest.raises(ModelError, match=r"the adapter of 'bobby' in .* is damaged"):
            served.seat(["bobby"])
    weights.write_bytes(whole)
    assert len(set(served.seat(["bob", "bobby"]).tolist())) == 2


def test_an_adapter_of_another_shape_is_refused(shelf: Path) -> None:
    body = tiny_body("bert")
    other = Lora(rank=4, targets="all", together=2).stack(holding(body))
    other.own_head("spam", torch.nn.Linear(32, 1))
    with pytest.raises(ModelError, match=r"24 weights are missing, unknown or of another shape"):
        Shelf(shelf, other).seat(["bob"])


def test_names_that_folders_cannot_hold_are_hashed(shelf: Path) -> None:
    known = json.loads((shelf / INDEX).read_text(encoding="utf-8"))
    assert tuple(known) == PEOPLE == Shelf(shelf, stacked(tiny_body("bert"))).domains
    assert all(np.char.isalnum(folder) and (shelf / folder).is_dir() for folder in known.values())
    assert len(set(known.values())) == len(PEOPLE)


def test_a_kill_leaves_the_index_as_it_was(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(file: Path, text: str, **_: object) -> None:
        file.write_bytes(text[:3].encode())
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", killed)
        with pytest.raises(KeyboardInterrupt):
            index(stacked(tiny_body("bert")), [*PEOPLE, "new"], shelf, "team/encoder")
    assert Shelf(shelf, stacked(tiny_body("bert"))).domains == PEOPLE
