import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nlptl.encoder import locate as module
from nlptl.encoder.locate import DEFAULT_HUB_NAME, DEFAULT_PACKAGE, locate
from nlptl.errors import ModelError


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed package of the default's name, whose code fails when run."""
    folder = tmp_path / DEFAULT_PACKAGE / "model"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise RuntimeError('the package was run')")
    (folder / "model.safetensors").write_bytes(b"weights")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, DEFAULT_PACKAGE, raising=False)
    module._packaged.cache_clear()
    yield folder
    module._packaged.cache_clear()


def test_the_default_is_the_package_without_running_it(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEFAULT_SHA256", hashlib.sha256(b"weights").hexdigest())
    located = locate("default", None)
    assert located.local and Path(located.path) == package and located.name == DEFAULT_HUB_NAME
    assert DEFAULT_PACKAGE not in sys.modules


def test_other_weights_than_the_published_are_refused_with_both_hashes(package: Path) -> None:
    with pytest.raises(ModelError) as caught:
        locate("default", None)
    assert module.DEFAULT_SHA256 in str(caught.value) and "model.safetensors has sha256" in str(caught.value)


def test_without_the_package_the_default_is_a_hub_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    module._packaged.cache_clear()
    located = locate("default", None)
    module._packaged.cache_clear()
    assert (located.path, located.local) == (DEFAULT_HUB_NAME, False)


def test_folders_and_hub_names(tiny_encoder: Path) -> None:
    assert locate(str(tiny_encoder), None).local
    assert not locate("owner/model", None).local
    for absent in ("./absent", "/absent/model", "a/b/c"):
        with pytest.raises(ModelError, match="no folder"):
            locate(absent, None)


def test_importing_it_loads_no_torch() -> None:
    code = "import sys, nlptl.encoder.locate; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
