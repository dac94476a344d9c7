import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlptl.contracts import Floats
from nlptl.encoder import store as module
from nlptl.encoder.backbone import Backbone
from nlptl.encoder.store import FeatureStore, clear, encode, usage
from nlptl.encoder.tokens import tokenize
from nlptl.recipe import Encoder

WORDS = "the of to and is in it you that he was for on are free win cash prize click meeting report gas"
TEXTS = [f"{' '.join(WORDS.split()[at % 9 : at % 9 + at % 13 + 1])} {at}" for at in range(40)]


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GROUP", 8)


@pytest.fixture
def backbone(tiny_encoder: Path) -> Backbone:
    return Backbone.load(Encoder(model=str(tiny_encoder), max_length=32, batch_tokens=128))


def stored(backbone: Backbone, texts: list[str] = TEXTS, **given: Any) -> dict[str, Floats]:
    return encode(backbone, texts, **{"readings": ("last",), "store": FeatureStore.of(backbone), **given})


def never(*_: object) -> None:
    raise AssertionError("a stored text was encoded again")


def shards(backbone: Backbone) -> list[Path]:
    return sorted(FeatureStore.of(backbone).folder.glob("shard-*"))


def test_stored_memory_and_fresh_vectors_are_equal_to_the_bit(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = stored(backbone, store=None)["last"]
    assert memory.shape == (40, 32) and memory.dtype == np.float32
    np.testing.assert_array_equal(stored(backbone)["last"], memory)
    monkeypatch.setattr(module, "_run", never)
    np.testing.assert_array_equal(stored(backbone)["last"], memory)
    np.testing.assert_array_equal(stored(backbone, TEXTS[::-3])["last"], memory[::-3])


def test_equal_texts_are_encoded_once_and_keep_their_places(backbone: Backbone) -> None:
    told: list[tuple[int, int]] = []
    doubled = [TEXTS[0], TEXTS[1], TEXTS[0], TEXTS[1], TEXTS[2]]
    found = stored(backbone, doubled, progress=lambda done, total: told.append((done, total)))["last"]
    assert told == [(3, 3)]
    np.testing.assert_array_equal(found[[0, 1]], found[[2, 3]])
    assert not np.array_equal(found[0], found[1])


def test_a_kill_between_groups_changes_no_bit(backbone: Backbone) -> None:
    class Killed(BaseException):
        pass

    def kill(done: int, total: int) -> None:
        if done >= 16:
            raise Killed

    whole = stored(backbone, store=None)["last"]
    with pytest.raises(Killed):
        stored(backbone, progress=kill)
    assert len(shards(backbone)) == 2
    told: list[tuple[int, int]] = []
    np.testing.assert_array_equal(stored(backbone, progress=lambda *at: told.append(at))["last"], whole)
    assert told == [(8, 24), (16, 24), (24, 24)]


def test_sigkill_in_the_middle_of_a_write_leaves_nothing_half_written(backbone: Backbone, tiny_encoder: Path) -> None:
    """A process dies by SIGKILL with its third shard half-written; the next one finds two whole ones and goes on."""
    script = f"""
        import json, os, signal, sys
        import numpy as np
        from nlptl.encoder import store
        from nlptl.encoder.backbone import Backbone
        from nlptl.recipe import Encoder
        store.GROUP, save, calls = 8, np.save, []
        def dying(path, array):
            save(path, array)
            calls.append(path)
            if len(calls) == 5:
                os.kill(os.getpid(), signal.SIGKILL)
        np.save = dying
        backbone = Backbone.load(Encoder(model={str(tiny_encoder)!r}, max_length=32, batch_tokens=128))
        store.encode(backbone, json.load(sys.stdin), readings=("last",), store=store.FeatureStore.of(backbone))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], input=json.dumps(TEXTS).encode(), check=False, env=os.environ
    )
    folder = FeatureStore.of(backbone).folder
    assert done.returncode == -9 and len(shards(backbone)) == 2 and len(list(folder.glob(".writing-*"))) == 1
    np.testing.assert_array_equal(stored(backbone)["last"], stored(backbone, store=None)["last"])


def test_old_remains_are_swept_and_young_ones_left(backbone: Backbone) -> None:
    folder = FeatureStore.of(backbone).folder
    for name, age in (("old", module.STALE_SECONDS + 60), ("young", 0)):
        (folder / f".writing-{name}").mkdir()
        at = module.time.time() - age
        os.utime(folder / f".writing-{name}", (at, at))
    stored(backbone)
    assert [path.name for path in folder.glob(".writing-*")] == [".writing-young"]


def flip(shard: Path) -> None:
    content = bytearray((shard / "last.npy").read_bytes())
    content[-3] ^= 0x40
    (shard / "last.npy").write_bytes(content)


def cut(shard: Path) -> None:
    (shard / "keys.npy").write_bytes((shard / "keys.npy").read_bytes()[:-5])


def no_manifest(shard: Path) -> None:
    (shard / "manifest.json").unlink()


def empty_manifest(shard: Path) -> None:
    (shard / "manifest.json").write_text("{}")
    flip(shard)


def list_manifest(shard: Path) -> None:
    (shard / "manifest.json").write_text("[]")


def lost_file(shard: Path) -> None:
    (shard / "last.npy").unlink()


@pytest.mark.parametrize("damage", [flip, cut, no_manifest, empty_manifest, list_manifest, lost_file])
def test_a_damaged_shard_is_named_and_its_texts_encoded_again(
    backbone: Backbone, damage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    whole = stored(backbone)["last"]
    victim = shards(backbone)[1]
    damage(victim)
    told: list[tuple[int, int]] = []
    np.testing.assert_array_equal(stored(backbone, progress=lambda *at: told.append(at))["last"], whole)
    assert told == [(8, 8)] and str(victim) in caplog.text and not victim.exists()


def test_a_new_reading_is_added_beside_the_old(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(backbone)
    both = stored(backbone, readings=("last", "layers"))
    assert not np.array_equal(both["last"], both["layers"])
    monkeypatch.setattr(module, "_run", never)
    again = stored(backbone, readings=("layers", "last"))
    assert all(np.array_equal(again[name], both[name]) for name in both)


def test_pairs_and_texts_do_not_mix(backbone: Backbone) -> None:
    alone = stored(backbone, ["the of", "the"])["last"]
    paired = stored(backbone, ["the", "the of"], pairs=[" of", ""])["last"]
    assert len({row.tobytes() for row in np.concatenate([alone, paired])}) == 4


@pytest.mark.parametrize("change", [{"max_length": 16}, {"long": "head_tail"}, {"prompt": "you "}])
def test_settings_that_change_vectors_have_their_own_store(
    backbone: Backbone, tiny_encoder: Path, change: dict[str, Any]
) -> None:
    settings = Encoder(model=str(tiny_encoder), **{"max_length": 32, **change})
    assert FeatureStore.of(Backbone.load(settings)).folder != FeatureStore.of(backbone).folder


def test_two_precisions_never_mix(backbone: Backbone) -> None:
    exact = stored(backbone)["last"]
    backbone.freeze("bfloat16")
    assert not np.array_equal(stored(backbone)["last"], exact)
    assert {each.precision for each in usage()} == {"float32", "bfloat16"}


def test_two_runs_may_write_at_once(backbone: Backbone) -> None:
    """While one run is between its groups another begins and ends; both then hold shards of the same texts."""

    def another(done: int, _: int) -> None:
        if done == 8:
            stored(backbone)

    whole = stored(backbone, store=None)["last"]
    np.testing.assert_array_equal(stored(backbone, progress=another)["last"], whole)
    assert len(shards(backbone)) == 5 + 4, "nine shards of eight texts: four groups twice"
    np.testing.assert_array_equal(stored(backbone)["last"], whole)


def test_a_store_cleared_under_a_run_is_made_anew(backbone: Backbone) -> None:
    store = FeatureStore.of(backbone)
    shutil.rmtree(store.folder)
    encode(backbone, TEXTS, readings=("last",), store=store)
    assert [(each.encoder, each.texts) for each in usage()] == [(backbone.located.name, 40)]


def test_usage_and_clear(backbone: Backbone) -> None:
    assert usage() == [] and clear() == 0
    stored(backbone)
    (found,) = usage()
    assert (found.texts, found.precision, found.max_length) == (40, "float32", 32) and found.bytes > 40 * 32 * 4
    assert clear() == found.bytes and usage() == []


def test_a_damaged_description_does_not_stop_usage_or_clear(backbone: Backbone) -> None:
    stored(backbone)
    (FeatureStore.of(backbone).folder / "about.json").write_text("{")
    assert [each.encoder for each in usage()] == ["unknown"] and clear() > 0 and usage() == []


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_text_has_the_same_vector_whatever_is_beside_it(backbone: Backbone, precision: str) -> None:
    backbone.freeze(precision)
    together = stored(backbone, store=None)["last"]
    for row in (0, 7, 23):
        alone = stored(backbone, [TEXTS[row]], store=None)["last"][0]
        np.testing.assert_allclose(alone, together[row], atol=1e-6 if precision == "float32" else 1e-2)


def test_chunks_give_the_mean_over_all_tokens(tiny_encoder: Path) -> None:
    settings = Encoder(model=str(tiny_encoder), max_length=8, long="chunks")
    backbone = Backbone.load(settings)
    text = "the of to and is in it you that"
    tokens = tokenize(backbone, [text])
    first, second = (backbone.tokenizer.decode(tokens.ids[start + 1 : end - 1])
                     for start, end in zip(tokens.offsets[:-1], tokens.offsets[1:], strict=True))  # fmt: skip
    found = stored(backbone, [text, first, second], store=None)["last"]
    np.testing.assert_allclose(found[0], (8 * found[1] + 5 * found[2]) / 13, atol=1e-6)
