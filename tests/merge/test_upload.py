"""Sharing on the model hub, against a stand-in: private, shown before, and nothing but what belongs to the model."""

import json
from pathlib import Path

import pytest
from faion_finetuner.core.errors import InputError, RemoteError
from faion_finetuner.core.merge.mode import MODE
from faion_finetuner.core.merge.report import report
from faion_finetuner.core.merge.request import MergeRequest
from faion_finetuner.core.merge.result import Upload
from faion_finetuner.core.settings import Settings

from ..tiny import tiny_model
from .hub import TOKEN, hub_stand_in
from .support import make_adapter, merge, program

pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),  # peft
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),  # huggingface_hub, of its own calls
]
MODEL = {
    *("README.md", "LICENSE", "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors"),
    *("tokenizer.json", "tokenizer_config.json"),
}


@pytest.fixture
def hub(monkeypatch):
    with hub_stand_in() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr("huggingface_hub._commit_api.is_xet_available", lambda: False)  # large files as git-lfs
        yield hub


@pytest.fixture
def base(base: Path) -> Path:
    """A model that came with a licence."""
    (base / "LICENSE").write_text("MIT License\n\nCopyright nobody", encoding="utf-8")
    return base


def upload_of(upload: Upload | None) -> Upload:
    assert upload is not None
    return upload


def names(upload: Upload) -> set[str]:
    return {file.name for file in upload.files}


def test_a_dry_run_shows_what_would_go_and_asks_nobody(settings, base, hub, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    adapter = make_adapter(base, settings.roots[0] / "adapter")
    arguments = {"model_name": str(base), "adapter_path": adapter, "output_dir": "out", "gguf": ("q8_0",)}
    result = merge(settings, **arguments, upload_to="me/tuned", dry_run=True)
    found = upload_of(result.upload)
    assert names(found) == {*MODEL, "model-q8_0.gguf", "Modelfile"}
    assert found.url is None
    assert found.bytes == sum(file.bytes for file in found.files)
    assert hub.requests == []
    assert "Would go to the private repository `me/tuned`" in report(result).markdown
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    done = upload_of(merge(settings, **arguments, upload_to="me/tuned").upload)
    assert names(done) == names(found)
    sizes = [{file.name: file.bytes for file in one.files}["model.safetensors"] for one in (found, done)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.01)  # the header alone is not counted before


def test_code_that_a_model_brings_goes_with_it(settings, base, hub, monkeypatch):
    monkeypatch.setenv("FAION_FINETUNER_TRUST_REMOTE_CODE", "1")
    settings = Settings.from_environment()
    config = json.loads((base / "config.json").read_bytes()) | {"auto_map": {"AutoModelForCausalLM": "own.Model"}}
    (base / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (base / "own.py").write_text("class Model: ...", encoding="utf-8")
    adapter = make_adapter(tiny_model(settings.roots[0] / "plain"), settings.roots[0] / "adapter")
    arguments = {"model_name": str(base), "adapter_path": adapter, "verify": False, "upload_to": "me/tuned"}
    planned = merge(settings, **arguments, output_dir="out", dry_run=True)
    assert names(upload_of(planned.upload)) == {*MODEL, "own.py"}
    assert names(upload_of(merge(settings, **arguments, output_dir="out").upload)) == {*MODEL, "own.py"}


def test_the_model_goes_into_a_private_repository_and_nothing_else(settings, base, hub):
    adapter, out = make_adapter(base, settings.roots[0] / "adapter"), settings.roots[0] / "out"
    out.mkdir()
    (out / "report.md").write_text("rows of the user", encoding="utf-8")
    result = merge(settings, model_name=str(base), adapter_path=adapter, output_dir=out, upload_to="me/tuned")
    assert hub.private == {"me/tuned": True}
    assert set(hub.files) == MODEL
    assert hub.files["model.safetensors"] == (out / "merged" / "model.safetensors").read_bytes()
    assert b"license: mit" in hub.files["README.md"]
    assert str(settings.roots[0]).encode() not in b"".join(hub.files.values())
    assert upload_of(result.upload).url == f"{hub.address}/me/tuned/commit/{'a' * 40}"
    assert "Went to the private repository `me/tuned`" in report(result).markdown


def test_gguf_files_of_a_model_that_is_not_ours_go_without_its_weights(settings, base, hub):
    merge(settings, model_name=str(base), output_dir="out", gguf=("q8_0",), upload_to="me/tuned")
    assert set(hub.files) == {"model-q8_0.gguf", "Modelfile", "README.md"}
    assert b"base_model_relation: quantized" in hub.files["README.md"]


def test_a_folder_goes_as_it_is_but_for_what_does_not_belong(settings, base, hub):
    (base / "secrets.env").write_text("key", encoding="utf-8")
    result = merge(settings, model_name=str(base), output_dir="out", upload_to="me/tuned")
    assert set(hub.files) == MODEL - {"README.md"}
    assert result.exports == ()


def test_a_public_repository_is_refused_before_the_work(settings, base, hub):
    hub.private["me/tuned"] = False
    with pytest.raises(RemoteError, match="it is public"):
        merge(settings, model_name=str(base), output_dir="out", gguf=("f16",), upload_to="me/tuned")
    assert not (settings.roots[0] / "out").exists()
    assert hub.files == {}


def test_an_own_private_repository_gets_the_new_version(settings, base, hub):
    hub.private["me/tuned"] = True
    result = merge(settings, model_name=str(base), output_dir="out", upload_to="me/tuned")
    assert upload_of(result.upload).url
    assert hub.files


def test_a_refused_login_is_told_before_the_work(settings, base, hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(RemoteError, match="status 401"):
        merge(settings, model_name=str(base), output_dir="out", upload_to="me/tuned")


def test_a_hub_out_of_reach_is_told(settings, base, hub, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(RemoteError, match="Uploading to 'me/tuned' failed"):
        merge(settings, model_name=str(base), output_dir="out", upload_to="me/tuned")


def test_a_refused_commit_costs_the_upload_and_not_the_result(settings, base, hub):
    hub.refuses_commits = True
    result = merge(settings, model_name=str(base), output_dir="out", gguf=("f16",), upload_to="me/tuned")
    assert result.upload is None
    assert len(result.exports) == 1
    check = next(check for check in result.checks if check.name == "upload")
    assert check.status == "fail"
    assert "status 403" in check.details
    assert "To upload alone" in (check.next_step or "")


def test_what_failed_a_check_is_not_uploaded(settings, base, hub, tmp_path, monkeypatch):
    broken = program(tmp_path / "bin" / "llama-completion", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setenv("PATH", str(broken.parent))
    result = merge(settings, model_name=str(base), output_dir="out", gguf=("f16",), upload_to="me/tuned")
    assert result.upload is None
    assert hub.files == {}
    assert "gguf_f16 failed" in next(check.details for check in result.checks if check.name == "upload")


def test_without_a_token_it_is_refused_before_a_run(settings, base, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(InputError, match="HF_TOKEN"):
        merge(settings, model_name=str(base), output_dir="out", upload_to="me/tuned")
    with pytest.raises(InputError, match="no repository id"):
        merge(settings, model_name=str(base), output_dir="out", upload_to="../x", dry_run=True)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [({}, ()), ({"upload_to": "me/x"}, ("HF_TOKEN",)), ({"upload_to": "me/x", "dry_run": True}, ())],
    ids=["no_upload", "upload", "dry_run"],
)
def test_only_the_worker_that_uploads_sees_the_token(arguments, names):
    request = MergeRequest(model_name="/base", output_dir=Path("out"), **arguments)
    assert MODE.environment(request) == names
