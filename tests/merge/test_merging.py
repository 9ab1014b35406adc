"""Merged weights equal peft's own, for every kind of plain LoRA; what cannot be merged is refused with a reason."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from faion_finetuner.core.errors import ExportError, ModelError
from faion_finetuner.core.settings import ROOTS, Settings

from ..tiny import tiny_model
from .support import (
    folder_of,
    make_adapter,
    merge,
    merged_logits,
    peft_logits,
    peft_merged_weights,
    proof_of,
    saved_weights,
    tiny_gpt2,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),  # peft, on attaching
    pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`"),  # peft, for tied embeddings
    pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`"),  # peft, on saving
    pytest.mark.filterwarnings("ignore:Input and output embeddings are no longer tied"),  # peft's merge, the oracle
]

IDS = list(range(3, 40))


def model(settings: Settings, *, tied: bool = True, **options: int) -> Path:
    return tiny_model(settings.roots[0] / "base", tied=tied, **options)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    "config",
    [
        {},
        {"use_rslora": True, "r": 8},
        {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {r"layers\.1\.mlp\.down_proj": 32}},
        {"modules_to_save": ["lm_head"]},
        {"modules_to_save": ["embed_tokens", "lm_head"]},
        {"target_modules": "all-linear", "bias": "none"},
        {"target_modules": ["q_proj", "embed_tokens"]},
        {"target_modules": ["v_proj", "lm_head"]},
    ],
    ids=["plain", "rslora", "patterns", "own_head", "own_embeddings_and_head", "all_linear", "embedding", "head"],
)
def test_merged_model_says_what_base_and_adapter_say(settings, tied, config):
    base = model(settings, tied=tied)
    adapter = make_adapter(base, settings.roots[0] / "adapter", **config)
    result = merge(settings, model_name=str(base), adapter_path=adapter, output_dir=settings.roots[0] / "out")
    assert result.method == "shards"
    difference = (merged_logits(folder_of(result), IDS) - peft_logits(base, adapter, IDS)).abs().max()
    assert difference < 3e-5  # logits, where the sums differ in order; weights are held to 1e-5 below
    assert proof_of(result).status == "pass"
    assert proof_of(result).greedy_agreement == 1


@pytest.mark.parametrize(
    "config", [{}, {"use_rslora": True, "rank_pattern": {"q_proj": 2}}, {"modules_to_save": ["lm_head"]}]
)
def test_merged_weights_equal_pefts_merge(settings, config):
    base = model(settings, tied=False)
    adapter = make_adapter(base, settings.roots[0] / "adapter", **config)
    merge(settings, model_name=str(base), adapter_path=adapter, output_dir=settings.roots[0] / "out", verify=False)
    ours, theirs = saved_weights(settings.roots[0] / "out" / "merged"), peft_merged_weights(base, adapter)
    assert ours.keys() == theirs.keys()
    assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) < 1e-5


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("config", [{}, {"modules_to_save": ["embed_tokens", "lm_head"]}], ids=["grown", "trained"])
def test_added_tokens_make_the_vocabulary_longer(settings, tied, config):
    base = model(settings, tied=tied)
    adapter = make_adapter(base, settings.roots[0] / "adapter", added_tokens=("<|a|>", "<|b|>"), **config)
    result = merge(settings, model_name=str(base), adapter_path=adapter, output_dir=settings.roots[0] / "out")
    rows = json.loads((base / "config.json").read_bytes())["vocab_size"] + 2
    merged = json.loads((folder_of(result) / "config.json").read_bytes())
    assert merged["vocab_size"] == rows
    assert merged["tie_word_embeddings"] is (tied and not config)
    ids = [*IDS, rows - 2, rows - 1]
    expected = peft_logits(base, adapter, ids, rows=rows)
    assert expected.shape[-1] == rows
    assert (merged_logits(folder_of(result), ids) - expected).abs().max() < 3e-5
    assert "added tokens" in next(check.details for check in result.checks if check.name == "vocabulary")


@pytest.mark.parametrize("tied", [True, False])
def test_single_trained_tokens_take_their_rows(settings, tied):
    base = model(settings, tied=tied)
    adapter = make_adapter(base, settings.roots[0] / "adapter", trainable_token_indices=[5, 9])
    result = merge(settings, model_name=str(base), adapter_path=adapter, output_dir=settings.roots[0] / "out")
    assert result.method == "shards"
    assert (merged_logits(folder_of(result), IDS) - peft_logits(base, adapter, IDS)).abs().max() < 3e-5


@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to")  # peft, for layers of both kinds
@pytest.mark.parametrize("prefix", ["transformer.", ""], ids=["as_saved", "names_of_the_bare_model"])
def test_layers_that_store_in_by_out_merge_the_right_way_round(settings, prefix):
    base = tiny_gpt2(settings.roots[0] / "base", prefix=prefix)
    names = ["c_attn", "c_proj", "lm_head"]  # c_proj is square; peft saves the last layer's way round for all of them
    adapter = make_adapter(base, settings.roots[0] / "adapter", target_modules=names)
    result = merge(settings, model_name=str(base), adapter_path=adapter, output_dir=settings.roots[0] / "out")
    assert result.method == "shards"
    assert set(saved_weights(base)) <= set(saved_weights(folder_of(result)))
    assert (merged_logits(folder_of(result), IDS) - peft_logits(base, adapter, IDS)).abs().max() < 3e-5


def test_small_shards_hold_the_same_weights_as_one_file(settings):
    base = model(settings)
    adapter = make_adapter(base, settings.roots[0] / "adapter")
    root = settings.roots[0]
    arguments = {"model_name": str(base), "adapter_path": adapter, "verify": False}
    merge(settings, output_dir=root / "one", **arguments)
    merge(settings, output_dir=root / "many", max_shard_gb=1e-4, **arguments)
    files = sorted(path.name for path in (root / "many" / "merged").glob("*.safetensors"))
    assert len(files) > 1
    assert files[0] == f"model-00001-of-{len(files):05d}.safetensors"
    index = json.loads((root / "many" / "merged" / "model.safetensors.index.json").read_bytes())
    one, many = saved_weights(root / "one" / "merged"), saved_weights(root / "many" / "merged")
    assert index["weight_map"].keys() == one.keys() == many.keys()
    assert all(bool((one[name] == many[name]).all()) for name in one)


@pytest.mark.parametrize("refusal", [errno.ENOSPC, errno.EOPNOTSUPP], ids=["full_disk", "cannot_reserve"])
def test_space_is_reserved_where_that_can_be_done(settings, monkeypatch, refusal):
    def refuse(*_: int) -> None:
        raise OSError(refusal, os.strerror(refusal))

    base = model(settings)
    adapter, out = make_adapter(base, settings.roots[0] / "adapter"), settings.roots[0] / "out"
    arguments = {"model_name": str(base), "adapter_path": adapter, "output_dir": out, "verify": False}
    monkeypatch.setattr(os, "posix_fallocate", refuse)
    if refusal == errno.ENOSPC:
        with pytest.raises(ExportError, match="no room for a weight file"):
            merge(settings, **arguments)
        assert list(out.iterdir()) == []
    else:
        merge(settings, **arguments)
        theirs = peft_merged_weights(base, adapter)
        assert all(
            float((one - theirs[name]).abs().max()) < 1e-5 for name, one in saved_weights(out / "merged").items()
        )


def test_sharded_base_merges_like_a_single_file(settings):
    from transformers import AutoModelForCausalLM

    base = model(settings)
    adapter = make_adapter(base, settings.roots[0] / "adapter")
    sharded = settings.roots[0] / "sharded"
    AutoModelForCausalLM.from_pretrained(base).save_pretrained(sharded, max_shard_size="100KB")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (sharded / name).write_bytes((base / name).read_bytes())
    result = merge(settings, model_name=str(sharded), adapter_path=adapter, output_dir=settings.roots[0] / "out")
    assert (merged_logits(folder_of(result), IDS) - peft_logits(base, adapter, IDS)).abs().max() < 1e-5


def test_merged_folder_is_complete(settings):
    base = model(settings)
    adapter = make_adapter(base, settings.roots[0] / "adapter")
    out = settings.roots[0] / "out"
    result = merge(settings, model_name=str(base), adapter_path=adapter, output_dir=out)
    assert sorted(path.name for path in out.iterdir()) == ["merged"]
    assert [file.path.name for file in result.files] == [
        "README.md",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    card = (out / "merged" / "README.md").read_text(encoding="utf-8")
    assert "Training data: unknown" in card
    assert "mean KL divergence" in card
    assert str(settings.roots[0]) not in card


def test_dtype_decides_how_weights_are_stored(settings):
    base = model(settings)
    adapter = make_adapter(base, settings.roots[0] / "adapter")
    out = settings.roots[0] / "out"
    result = merge(settings, model_name=str(base), adapter_path=adapter, output_dir=out, dtype="bfloat16")
    assert {str(tensor.dtype) for tensor in saved_weights(out / "merged").values()} == {"torch.bfloat16"}
    assert json.loads((out / "merged" / "config.json").read_bytes())["dtype"] == "bfloat16"
    assert proof_of(result).tolerance.mean_kl == 2e-3
    assert 0 < proof_of(result).mean_kl < proof_of(result).tolerance.mean_kl


def test_output_layer_of_its_own_unties_the_embeddings(settings):
    base = model(settings, tied=True)
    adapter = make_adapter(base, settings.roots[0] / "adapter", modules_to_save=["lm_head"])
    out = settings.roots[0] / "out"
    merge(settings, model_name=str(base), adapter_path=adapter, output_dir=out)
    assert json.loads((out / "merged" / "config.json").read_bytes())["tie_word_embeddings"] is False
    assert "lm_head.weight" in saved_weights(out / "merged")


def test_two_adapters_add_up_by_their_weights(settings):
    base = model(settings)
    root = settings.roots[0]
    first = make_adapter(base, root / "first", seed=1)
    second = make_adapter(base, root / "second", seed=2, target_modules=["q_proj", "v_proj"], r=2)
    result = merge(
        settings,
        model_name=str(base),
        adapter_path=(first, second),
        strategy="linear",
        weights=(0.25, 0.75),
        output_dir=root / "out",
    )
    start = saved_weights(base)
    added = saved_weights(folder_of(result))
    one, two = peft_merged_weights(base, first), peft_merged_weights(base, second)
    for name in start:
        expected = start[name] + 0.25 * (one[name] - start[name]) + 0.75 * (two[name] - start[name])
        assert float((added[name] - expected).abs().max()) < 1e-5
    assert proof_of(result).status == "pass"


def test_dora_goes_through_peft_and_says_so(settings):
    base = model(settings)
    adapter = make_adapter(base, settings.roots[0] / "adapter", use_dora=True)
    result = merge(settings, model_name=str(base), adapter_path=adapter, output_dir=settings.roots[0] / "out")
    assert result.method == "in_memory"
    assert "DoRA" in result.method_reason
    assert (merged_logits(folder_of(result), IDS) - peft_logits(base, adapter, IDS)).abs().max() < 1e-4


def test_adapter_that_changes_nothing_is_refused_by_name(settings):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = model(settings)
    untrained = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(target_modules=["q_proj"]))
    untrained.save_pretrained(settings.roots[0] / "adapter")
    out = settings.roots[0] / "out"
    with pytest.raises(ModelError, match="No-op adapter"):
        merge(settings, model_name=str(base), adapter_path=settings.roots[0] / "adapter", output_dir=out)
    assert list(out.iterdir()) == []


def test_adapter_with_nan_is_refused(settings):
    base = model(settings)
    adapter = make_adapter(base, settings.roots[0] / "adapter", strength=float("nan"))
    with pytest.raises(ModelError, match="NaN"):
        merge(settings, model_name=str(base), adapter_path=adapter, output_dir=settings.roots[0] / "out")


def test_weights_too_large_for_the_number_format_are_refused(settings):
    base = model(settings)
    adapter = make_adapter(base, settings.roots[0] / "adapter", strength=1000)
    arguments = {"model_name": str(base), "adapter_path": adapter, "verify": False}
    merge(settings, **arguments, dtype="bfloat16", output_dir=settings.roots[0] / "fits")
    with pytest.raises(ExportError, match="does not fit float16"):
        merge(settings, **arguments, dtype="float16", output_dir=settings.roots[0] / "out")


@pytest.mark.parametrize(("number", "fits"), [(60_000.0, True), (-70_000.0, False), (float("nan"), False)])
def test_a_limit_holds_for_each_number_and_not_for_their_sum(number, fits):
    import torch
    from faion_finetuner.core.merge.blend import within

    numbers = torch.zeros(8, 100)
    numbers[3] = number
    assert within(numbers, torch.finfo(torch.float16).max) is fits
    assert within(numbers.bfloat16(), torch.finfo(torch.float16).max) is fits


def test_adapter_of_another_base_is_refused_with_both_shapes(settings):
    base = model(settings)
    other = tiny_model(settings.roots[0] / "other", hidden=32)
    adapter = make_adapter(other, settings.roots[0] / "adapter")
    with pytest.raises(ModelError, match="64 x 128, the adapter's is 32 x 64"):
        merge(settings, model_name=str(base), adapter_path=adapter, output_dir=settings.roots[0] / "out")


def test_half_an_adapter_is_refused(settings):
    from safetensors.torch import load_file, save_file

    base = model(settings)
    adapter = make_adapter(base, settings.roots[0] / "adapter")
    weights = load_file(adapter / "adapter_model.safetensors")
    del weights[next(name for name in weights if "lora_B" in name)]
    save_file(weights, adapter / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="has no partner"):
        merge(settings, model_name=str(base), adapter_path=adapter, output_dir=settings.roots[0] / "out")


def test_rounding_that_a_sensitive_model_feels_is_measured_and_not_taken_for_an_error(settings, monkeypatch):
    from faion_finetuner.core.merge import plan, verify

    base = model(settings)
    adapter = make_adapter(base, settings.roots[0] / "adapter")
    strict = verify.Tolerance(max_abs_logit_difference=1e-9, mean_kl=1e-9)
    monkeypatch.setattr(verify, "TOLERANCES", {"bfloat16": strict, "float32": strict})
    arguments = {"model_name": str(base), "adapter_path": adapter, "dtype": "bfloat16"}
    proof = proof_of(merge(settings, **arguments, output_dir=settings.roots[0] / "out"))
    assert 1e-9 < proof.mean_kl <= proof.tolerance.mean_kl < 2 * proof.mean_kl
    right = plan.Adapter.scale
    monkeypatch.setattr(plan.Adapter, "scale", lambda self, module: 0.9 * right(self, module))
    with pytest.raises(ExportError, match="does not predict"):
        merge(settings, **arguments, output_dir=settings.roots[0] / "wrong")


def test_merge_that_says_something_else_is_removed(settings, monkeypatch):
    from faion_finetuner.core.merge import plan

    base = model(settings)
    adapter = make_adapter(base, settings.roots[0] / "adapter")
    monkeypatch.setattr(plan.Adapter, "scale", lambda self, module: 0.1)  # a wrong factor before B @ A
    out = settings.roots[0] / "out"
    with pytest.raises(ExportError, match="does not predict"):
        merge(settings, model_name=str(base), adapter_path=adapter, output_dir=out)
    assert list(out.iterdir()) == []


def test_end_token_that_generation_ignores_is_added(settings):
    base = model(settings)
    adapter = make_adapter(base, settings.roots[0] / "adapter")
    path = base / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"eos_token_id": 0}), encoding="utf-8")
    result = merge(settings, model_name=str(base), adapter_path=adapter, output_dir=settings.roots[0] / "out")
    check = next(check for check in result.checks if check.name == "end_token")
    assert check.status == "warn"
    assert json.loads((folder_of(result) / "generation_config.json").read_bytes())["eos_token_id"] == [0, 2]


def test_generation_stops_where_the_chat_template_ends_an_answer(settings):
    base = model(settings)
    adapter = make_adapter(base, settings.roots[0] / "adapter")
    for name, ends in (("generation_config.json", 0), ("config.json", 0), ("tokenizer_config.json", "<|endoftext|>")):
        key = "eos_token" if name.startswith("tokenizer") else "eos_token_id"
        (base / name).write_text(json.dumps(json.loads((base / name).read_bytes()) | {key: ends}), encoding="utf-8")
    result = merge(settings, model_name=str(base), adapter_path=adapter, output_dir=settings.roots[0] / "out")
    check = next(check for check in result.checks if check.name == "end_token")
    assert (check.status, "did not stop at «<|im_end|>» (2)" in check.details) == ("warn", True), check.details
    assert json.loads((folder_of(result) / "generation_config.json").read_bytes())["eos_token_id"] == [0, 2]


def test_another_model_in_a_folder_of_the_same_name_is_not_taken_for_the_base(settings):
    base = model(settings)
    adapter = make_adapter(base, settings.roots[0] / "adapter")
    other = tiny_model(settings.roots[0] / "elsewhere" / base.name, seed=5)
    told = {}
    for folder in (base, other):
        out = settings.roots[0] / f"out-{folder.parent.name}"
        result = merge(settings, model_name=str(folder), adapter_path=adapter, output_dir=out, verify=False)
        told[folder] = next(check.status for check in result.checks if check.name == "adapter_base")
    assert told == {base: "pass", other: "warn"}


def test_changed_chat_template_is_named(settings):
    from transformers import AutoTokenizer

    base = model(settings)
    adapter = make_adapter(base, settings.roots[0] / "adapter")
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}<|im_end|>{% endfor %}"
    tokenizer.save_pretrained(adapter)
    result = merge(settings, model_name=str(base), adapter_path=adapter, output_dir=settings.roots[0] / "out")
    check = next(check for check in result.checks if check.name == "template_kept")
    assert check.status == "warn"
    assert "Changed chat template" in check.details
    assert (folder_of(result) / "chat_template.jinja").read_bytes() == (adapter / "chat_template.jinja").read_bytes()


def test_token_without_embedding_row_is_refused(settings):
    base = model(settings)
    adapter = make_adapter(base, settings.roots[0] / "adapter")
    tokenizer = json.loads((base / "tokenizer.json").read_bytes())
    rows = json.loads((base / "config.json").read_bytes())["vocab_size"]
    extra = {"id": rows, "content": "<|extra|>", "special": True}
    tokenizer["added_tokens"].append(tokenizer["added_tokens"][0] | extra)
    (base / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    with pytest.raises(ModelError, match=f"ids up to {rows}"):
        merge(settings, model_name=str(base), adapter_path=adapter, output_dir=settings.roots[0] / "out")


def test_base_without_a_tokenizer_is_refused_before_merging(settings):
    base = model(settings)
    adapter, out = make_adapter(base, settings.roots[0] / "adapter"), settings.roots[0] / "out"
    (base / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=f"No tokenizer.json in {base}"):
        merge(settings, model_name=str(base), adapter_path=adapter, output_dir=out)
    assert not out.exists()


def test_dry_run_tells_needs_and_writes_nothing(settings):
    base = model(settings)
    adapter = make_adapter(base, settings.roots[0] / "adapter")
    out = settings.roots[0] / "out"
    result = merge(settings, model_name=str(base), adapter_path=adapter, output_dir=out, gguf=("q8_0",), dry_run=True)
    assert not out.exists()
    assert result.merged_path is None
    weights = sum(file.stat().st_size for file in base.glob("*.safetensors"))
    assert result.plan is not None
    assert weights < result.plan.disk_needed_bytes < 3 * weights


@pytest.mark.parametrize("tied", [True, False])
def test_model_that_does_not_fit_into_memory_is_verified_a_layer_at_a_time(settings, monkeypatch, tied):
    from faion_finetuner.core.merge import verify

    base = model(settings, tied=tied)
    adapter = make_adapter(base, settings.roots[0] / "adapter", target_modules="all-linear")
    arguments = {"model_name": str(base), "adapter_path": adapter}
    in_memory = proof_of(merge(settings, **arguments, output_dir=settings.roots[0] / "out"))
    monkeypatch.setattr(verify, "free_memory_bytes", lambda: 1000)
    proof = proof_of(merge(settings, **arguments, output_dir=settings.roots[0] / "again"))
    assert proof.arithmetic == "float32, a layer at a time from disk"
    assert proof.status == "pass"
    assert proof.adapter_kl == pytest.approx(in_memory.adapter_kl, rel=1e-4)


def test_killed_merge_leaves_nothing_that_looks_done(settings):
    base = model(settings)
    root = settings.roots[0]
    adapter = make_adapter(base, root / "adapter")
    code = (
        "import os, signal, sys; from pathlib import Path; from faion_finetuner.core.merge import tensor_file;"
        "from faion_finetuner.core.settings import Settings; from tests.merge.support import merge;"
        "tensor_file.TensorFile.copy = lambda *_: os.kill(os.getpid(), signal.SIGKILL);"
        "merge(Settings.from_environment(), model_name=sys.argv[1], adapter_path=Path(sys.argv[2]),"
        "output_dir=Path(sys.argv[3]), verify=False)"
    )
    repository = Path(__file__).parents[2]
    command = [sys.executable, "-c", code, str(base), str(adapter), str(root / "out")]
    done = subprocess.run(
        command, cwd=repository, env=os.environ | {ROOTS: str(root)}, capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [path.suffix for path in (root / "out").iterdir()] == [".tmp"]
    merge(settings, model_name=str(base), adapter_path=adapter, output_dir=root / "out", verify=False)
    assert [path.name for path in (root / "out").iterdir()] == ["merged"]
