"""What is exported serves: a real server on loopback, asked by the `openai` client, reads chats as training did."""

import shlex
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from faion_finetuner.core.checks import Check
from faion_finetuner.core.examples.chat import ChatTokenizer
from faion_finetuner.core.merge import rendering, servers, shipping
from faion_finetuner.core.merge.ollama import PROBES
from faion_finetuner.core.merge.result import MergeResult

from ..tiny import TEMPLATE, tiny_model, write_tiny_rows
from .support import LLAMA_CPP, active_run, folder_of, make_adapter, merge, program

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft
OTHER_TEMPLATE = TEMPLATE.replace("'\n' + message['content']", "': ' + message['content']")


@pytest.fixture
def base(settings, monkeypatch) -> Path:
    """A tiny model, with the stand-in converter; behind a proxy that must never be asked for loopback."""
    monkeypatch.setenv("LLAMA_CPP_DIR", str(LLAMA_CPP))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    return tiny_model(settings.roots[0] / "base")


def check(result: MergeResult, name: str) -> Check:
    return next(check for check in result.checks if check.name == name)


def test_a_real_server_answers_and_everything_writes_the_same_chat(settings, base):
    rows = write_tiny_rows(settings.roots[0] / "rows.jsonl", 8)
    result = merge(settings, model_name=str(base), output_dir="out", gguf=("q8_0",), data_path=rows)
    serving = check(result, "serving")
    assert serving.status == "pass", serving.details
    assert "xllamacpp served model-q8_0.gguf on loopback; the openai client asked" in serving.details
    found = check(result, "chat_rendering")
    assert found.status == "pass"
    assert found.details == (
        "6 conversations give the same ids by training tokenizer, exported tokenizer (transformers), "
        "GGUF (the server's own rendering), Modelfile (chatml)."
    )


def test_another_template_in_the_file_is_a_failed_check(settings, base, tmp_path, monkeypatch):
    """The converter puts another template into the file than the model's."""
    script = (LLAMA_CPP / "convert_hf_to_gguf.py").read_text(encoding="utf-8")
    changed = script.replace('(model / "chat_template.jinja").read_text(encoding="utf-8")', repr(OTHER_TEMPLATE))
    (tmp_path / "convert_hf_to_gguf.py").write_text(changed, encoding="utf-8")
    monkeypatch.setenv("LLAMA_CPP_DIR", str(tmp_path))
    result = merge(settings, model_name=str(base), output_dir="out", gguf=("f16",))
    found = check(result, "chat_rendering")
    assert found.status == "fail"
    assert "GGUF (the server's own rendering) differs in 6 of 6" in found.details
    assert check(result, "serving").status == "warn"  # it reads another number of prompt tokens


def test_without_a_server_the_file_is_read_by_its_own_template_and_tokens(settings, base, monkeypatch):
    monkeypatch.setattr(shipping, "find_server", lambda: None)
    result = merge(settings, model_name=str(base), output_dir="out", gguf=("f16",))
    assert check(result, "serving").status == "warn"
    assert "neither llama-server nor the package xllamacpp" in check(result, "serving").details
    assert check(result, "chat_rendering").status == "pass"
    assert "GGUF (its template and tokens), Modelfile (chatml)" in check(result, "chat_rendering").details


def test_a_server_that_crashes_is_a_failed_check(settings, base, tmp_path, monkeypatch):
    broken = program(tmp_path / "bin" / "llama-server", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setenv("PATH", str(broken.parent))
    result = merge(settings, model_name=str(base), output_dir="out", gguf=("f16",))
    assert check(result, "serving").status == "fail"
    assert "llama-server crashed with SIGSEGV" in check(result, "serving").details


@pytest.mark.slow
def test_the_command_for_transformers_serves_the_merged_model(settings, base):
    """As the report has it, after the installing."""
    pytest.importorskip("fastapi", reason="pip install 'transformers[serving]'")
    adapter = make_adapter(base, settings.roots[0] / "adapter")
    result = merge(settings, model_name=str(base), adapter_path=adapter, output_dir="out", verify=False)
    (command,) = (one.command for one in result.deploy if one.target == "transformers")
    program, *arguments = shlex.split(command.partition(" && ")[2])
    port = servers._free_port()
    address = f"http://{servers.HOST}:{port}"
    line = [str(Path(sys.executable).with_name(program)), *arguments, "--port", str(port)]
    with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            while not servers._answers(address):
                assert server.poll() is None
                time.sleep(servers.POLL_S)
            asked = {"model": str(folder_of(result)), "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3}
            reply = httpx.post(f"{address}/v1/chat/completions", json=asked, timeout=60, trust_env=False).json()
        finally:
            server.terminate()
    assert 0 < reply["usage"]["completion_tokens"] <= 3


def test_the_server_ends_with_the_test(settings, base):
    found = servers.find_server()
    assert found is not None
    run = active_run(settings.roots[0] / "out")
    gguf = settings.roots[0] / "model.gguf"
    merge(settings, model_name=str(base), output_dir="out", gguf=("f16",), verify=False)
    (settings.roots[0] / "out" / "model-f16.gguf").rename(gguf)
    with found.serving(gguf, run) as address:
        assert servers._answers(address)
    assert not servers._answers(address)


def test_weights_alone_merge_without_a_tokenizer(settings, base):
    adapter = make_adapter(base, settings.roots[0] / "adapter")
    for file in base.glob("tokenizer*"):
        file.unlink()
    result = merge(settings, model_name=str(base), adapter_path=adapter, output_dir="out", verify=False)
    assert folder_of(result).is_dir()
    assert "chat_rendering" not in [check.name for check in result.checks]


def test_ids_that_differ_name_the_party_and_the_place():
    ids = {"training tokenizer": [[1, 2, 3]], "exported tokenizer": [[1, 2, 3]], "GGUF": [[1, 9, 3]]}
    found = rendering.rendering_check([PROBES[0]], ids, ["Modelfile (no template)"])
    assert found.status == "fail"
    assert "GGUF differs in 1 of 1, first at token 2" in found.details
    assert "exported" not in found.details
    assert "Not compared: Modelfile (no template)." in found.details


def test_conversations_that_the_template_refuses_are_left_out(tmp_path):
    folder = tiny_model(tmp_path / "model")
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + TEMPLATE
    (folder / "chat_template.jinja").write_text(refusing, encoding="utf-8")
    asked = rendering.conversations(ChatTokenizer.load(folder), ())
    assert [one[0].role for one in asked] == ["user", "user"]
