"""Checkpoints: whole or absent, verified, the one before when damaged."""

import logging
from pathlib import Path

import pytest
import torch

from nlptl.train.checkpoint import KEEP, Checkpoint, load_latest, save


def checkpoint(value: float) -> Checkpoint:
    return Checkpoint({"weights/w": torch.full((3,), value)}, {"step": int(value), "history": [{"loss": 0.5}]})


def test_the_newest_comes_back_and_old_ones_go(tmp_path: Path) -> None:
    for step in range(1, 6):
        save(tmp_path, step, checkpoint(step))
    found = load_latest(tmp_path)
    assert found is not None
    assert torch.equal(found.tensors["weights/w"], torch.full((3,), 5.0))
    assert found.state == {"step": 5, "history": [{"loss": 0.5}]}
    assert len(list(tmp_path.glob("step-*"))) == KEEP


def test_nothing_there_is_no_checkpoint(tmp_path: Path) -> None:
    assert load_latest(tmp_path / "absent") is None


def test_a_kill_while_writing_leaves_the_one_before(tmp_path: Path) -> None:
    save(tmp_path, 1, checkpoint(1))
    (tmp_path / ".partial-00000002").mkdir()
    (tmp_path / ".partial-00000002" / "state.safetensors").write_bytes(b"half")
    found = load_latest(tmp_path)
    assert found is not None and found.state["step"] == 1
    save(tmp_path, 2, checkpoint(2))
    found = load_latest(tmp_path)
    assert found is not None and found.state["step"] == 2


@pytest.mark.parametrize("name", ["state.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_one_is_named_and_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, damage: str
) -> None:
    save(tmp_path, 1, checkpoint(1))
    save(tmp_path, 2, checkpoint(2))
    broken = tmp_path / "step-00000002" / name
    content = bytearray(broken.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 0x01
        broken.write_bytes(bytes(content))
    elif damage == "cut":
        broken.write_bytes(bytes(content[: len(content) // 2]))
    else:
        broken.unlink()
    with caplog.at_level(logging.WARNING, logger="nlptl"):
        found = load_latest(tmp_path)
    assert found is not None and found.state["step"] == 1
    assert "step-00000002 is damaged" in caplog.text
