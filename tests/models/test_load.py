"""From a folder to a model in memory, and what the machine is given to work with."""

from pathlib import Path

import pytest
import torch
from faion_finetuner.core.errors import ModelError
from faion_finetuner.core.models.load import attach_adapter, load_base, load_tokenizer
from faion_finetuner.core.models.machine import cpu_dtype, look
from faion_finetuner.core.models.source import local_path, resolve_model
from faion_finetuner.core.settings import Settings
from safetensors.torch import load_file, save_file

from tests.tiny import tiny_model

# peft 0.21 still reads the old name of activation checkpointing
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


@pytest.fixture
def tiny(settings: Settings) -> Path:
    return tiny_model(settings.roots[0] / "tiny")


@pytest.mark.parametrize("flag", ["amx_bf16", "avx512_bf16"])
def test_a_processor_that_multiplies_bfloat16_is_given_it(flag: str):
    choice = cpu_dtype(frozenset({"avx2", flag}))
    assert choice.dtype == "bfloat16"
    assert flag in choice.reason


def test_other_processors_are_given_float32():
    assert cpu_dtype(frozenset({"avx2", "avx512f"})).dtype == "float32"


def test_the_machine_says_what_it_has_and_why_it_chose_its_number_format():
    machine = look()
    assert machine.cpu_count >= 1
    assert machine.host_memory_total_bytes > 1e9
    assert machine.dtype_reason


def test_a_model_is_loaded_in_the_format_asked_for_and_evaluates(tiny: Path, settings: Settings):
    model = load_base(tiny, dtype="float32", settings=settings)
    assert model.dtype == torch.float32
    assert not model.training
    assert load_base(tiny, settings=settings).dtype == getattr(torch, look().dtype)


def test_four_bit_loading_shrinks_the_linear_layers(tiny: Path, settings: Settings):
    plain = load_base(tiny, dtype="bfloat16", settings=settings).get_memory_footprint()
    assert load_base(tiny, dtype="bfloat16", nf4=True, settings=settings).get_memory_footprint() < 0.6 * plain


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="what is mapped is read from /proc")
def test_four_bit_loading_on_a_processor_lets_go_of_the_file_with_the_wide_weights(tiny: Path, settings: Settings):
    half = tiny.with_name("half")
    load_base(tiny, dtype="bfloat16", settings=settings).save_pretrained(half)
    model = load_base(half, dtype="bfloat16", nf4=True, settings=settings)
    assert model.device.type != "cpu" or str(half) not in Path("/proc/self/maps").read_text()
    with torch.no_grad():
        assert bool(torch.isfinite(model(torch.arange(9)[None]).logits).all())


def test_damaged_weights_are_an_error_that_names_the_folder(tiny: Path, settings: Settings):
    (tiny / "model.safetensors").write_bytes(b"\x00" * 64)
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        load_base(tiny, settings=settings)
    assert str(tiny) in caught.value.problem


def test_weights_that_the_files_lack_are_not_made_up(tiny: Path, settings: Settings):
    weights = load_file(tiny / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, tiny / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        ModelError, match=r"lack 1 of the model's weights, e\.g\. model\.layers\.1\.mlp\.up_proj\.weight"
    ):
        load_base(tiny, settings=settings)


def test_a_folder_without_tokenizer_is_an_error(tiny: Path):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tiny / name).unlink()
    with pytest.raises(ModelError, match="tokenizer"):
        load_tokenizer(tiny)


def test_an_adapter_of_another_model_is_refused(tiny: Path, settings: Settings):
    from peft import LoraConfig, get_peft_model

    other = load_base(tiny_model(settings.roots[0] / "wide", hidden=128), dtype="float32", settings=settings)
    get_peft_model(other, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")).save_pretrained(
        str(settings.roots[0] / "adapter")
    )
    with pytest.raises(ModelError, match=r"does not fit.*size mismatch for .*layers\.0"):
        attach_adapter(load_base(tiny, dtype="float32", settings=settings), settings.roots[0] / "adapter")


@pytest.mark.parametrize(("trained", "given", "said"), [(4, 2, "has no place for"), (2, 4, "has layers that it lacks")])
def test_an_adapter_of_a_model_with_another_number_of_layers_is_refused(
    settings: Settings, trained: int, given: int, said: str
):
    from peft import LoraConfig, get_peft_model

    folder, adapter = settings.roots[0], str(settings.roots[0] / "adapter")
    for layers in (2, 4):
        tiny_model(folder / str(layers), layers=layers)
    config = LoraConfig(r=4, target_modules=["q_proj", "up_proj"], task_type="CAUSAL_LM")
    get_peft_model(load_base(folder / str(trained), settings=settings), config).save_pretrained(adapter)
    assert attach_adapter(load_base(folder / str(trained), settings=settings), Path(adapter))
    with pytest.raises(ModelError, match=rf"{said}.* 8 tensors, e\.g\. model\.layers\.[23]\..*lora_A"):
        attach_adapter(load_base(folder / str(given), settings=settings), Path(adapter))


def test_a_folder_that_is_no_adapter_is_refused(tiny: Path, settings: Settings):
    with pytest.raises(ModelError, match=r"no adapter_config\.json"):
        attach_adapter(load_base(tiny, settings=settings), tiny)


@pytest.mark.slow
def test_the_built_in_model_knows_the_capital_of_france(settings: Settings):
    path = local_path(resolve_model("smollm2-135m-instruct", settings), settings)
    model, tokenizer = load_base(path, settings=settings), load_tokenizer(path)
    chat = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    ids = torch.tensor([tokenizer.encode(str(prompt), add_special_tokens=False)])
    answer = model.generate(ids, max_new_tokens=20, do_sample=False)  # pyright: ignore[reportCallIssue]
    assert tokenizer.decode(answer[0, ids.shape[1] :]) == "The capital of France is Paris.<|im_end|>"
    assert {file.name for file in path.iterdir()} == {
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
