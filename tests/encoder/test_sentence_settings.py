import json
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import EntryNotFoundError

from nlptl.encoder.locate import Located
from nlptl.encoder.sentence_settings import read_settings
from nlptl.errors import ModelError


def checkpoint(folder: Path, pooling: object = None, prompts: object = None) -> Located:
    for name, content in {"1_Pooling/config.json": pooling, "config_sentence_transformers.json": prompts}.items():
        if content is not None:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return Located(str(folder), "an encoder", True)


def read(located: Located, prompt: str | None = None) -> tuple[str, str]:
    return read_settings(located, None, prompt=prompt)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        (None, "mean"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_max_tokens": True}, "max"),
        ({"pooling_mode": "cls", "embedding_dimension": 32}, "cls"),
        ({"pooling_mode": ["mean"]}, "mean"),
    ],
)
def test_pooling_of_old_and_new_checkpoints(tmp_path: Path, pooling: object, expected: str) -> None:
    assert read(checkpoint(tmp_path, pooling)) == (expected, "")


@pytest.mark.parametrize(
    "pooling",
    [
        {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True},
        {"pooling_mode": "lasttoken"},
        {"pooling_mode_mean_sqrt_len_tokens": True},
    ],
)
def test_a_pooling_that_we_do_not_have_is_refused(tmp_path: Path, pooling: object) -> None:
    with pytest.raises(ModelError, match=r"pools by .*use one that pools by mean, cls, max"):
        read(checkpoint(tmp_path, pooling))


@pytest.mark.parametrize("damaged", ["{", "[]"])
def test_damaged_settings_are_named(tmp_path: Path, damaged: str) -> None:
    with pytest.raises(ModelError, match=r"1_Pooling/config\.json is damaged"):
        read(checkpoint(tmp_path, damaged))


def test_prompts(tmp_path: Path) -> None:
    located = checkpoint(tmp_path, None, {"prompts": {"query": "query: "}, "default_prompt_name": "query"})
    assert read(located) == ("mean", "query: ")
    assert read(located, "mine: ") == ("mean", "mine: ") and read(located, "") == ("mean", "")
    (tmp_path / "other").mkdir()
    named_by_none = {"prompts": {"query": "query: "}, "default_prompt_name": None}
    assert read(checkpoint(tmp_path / "other", None, named_by_none)) == ("mean", "")


def test_a_prompt_outside_the_pooling_is_refused(tmp_path: Path) -> None:
    located = checkpoint(tmp_path, {"pooling_mode": "mean", "include_prompt": False})
    assert read(located) == ("mean", "")
    with pytest.raises(ModelError, match="include_prompt"):
        read(located, "query: ")


def test_a_hub_model_s_settings_are_fetched_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint(tmp_path, {"pooling_mode": "cls"})

    def fetch(repo: str, name: str, revision: str | None) -> str:
        assert (repo, revision) == ("owner/model", "v1")
        if not (tmp_path / name).is_file():
            raise EntryNotFoundError(name)
        return str(tmp_path / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    assert read_settings(Located("owner/model", "owner/model", False), "v1", prompt=None) == ("cls", "")


def test_offline_it_says_what_it_assumes(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any, **__: Any) -> str:
        raise huggingface_hub.errors.LocalEntryNotFoundError("offline")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unreachable)
    assert read_settings(Located("nobody/none", "nobody/none", False), None, prompt=None) == ("mean", "")
    assert "1_Pooling/config.json of nobody/none cannot be fetched offline" in caplog.text
