"""The fast way through a model gives the numbers of the plain one, and is taken only where that was seen."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from faion_finetuner.core.train.hyperparameters import Hyperparameters, with_defaults
from faion_finetuner.core.train.kernels.attention import Layout, attention
from faion_finetuner.core.train.kernels.decoder import Decoder, install
from faion_finetuner.core.train.kernels.linear import Projections, projection
from faion_finetuner.core.train.kernels.losses import token_losses
from faion_finetuner.core.train.kernels.norm import rms_norm
from faion_finetuner.core.train.kernels.swiglu import swiglu
from faion_finetuner.core.train.model import with_adapter
from faion_finetuner.core.train.scoring import score
from torch import nn
from torch.nn import functional
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

from .bench import THIRD_PARTIES

pytestmark = THIRD_PARTIES

SHAPE: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 2048,
    "pad_token_id": 0,
}
LENGTHS = (11, 7, 4)


def model_of(kind: type, **changes: Any) -> PreTrainedModel:
    torch.manual_seed(0)
    config = kind(**SHAPE | changes)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32)
    for weight in model.parameters():
        weight.data.add_(0.05 * torch.randn_like(weight))  # norms of ones and biases of zero would hide mistakes
    return model.train()


def adapted(base: PreTrainedModel, **numbers: Any) -> Any:
    model = with_adapter(base, with_defaults(Hyperparameters(rank=3, alpha=6, **numbers), "lora"))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data.normal_()
    return model


def batch(packed: bool = False) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    width = sum(LENGTHS) if packed else max(LENGTHS)
    ids = torch.randint(1, 61, (1 if packed else len(LENGTHS), width))
    labels = ids.clone()
    if packed:
        places = torch.cat([torch.arange(length) for length in LENGTHS])[None]
        labels[places < 2] = -100
        return {"input_ids": ids, "labels": labels, "position_ids": places}
    mask = torch.arange(width) < torch.tensor(LENGTHS)[:, None]
    labels[~mask] = -100
    labels[:, :2] = -100
    return {"input_ids": ids, "labels": labels, "attention_mask": mask.long()}


def losses_and_gradients(model: Any, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    model.zero_grad()
    losses = score(model, inputs).losses
    (losses * torch.linspace(0.5, 2, len(losses))).sum().backward()
    gradients = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    return losses.detach(), gradients


def computed_by(base: PreTrainedModel) -> list[list[int]]:
    """The lengths of the rows in each pass that the model does not compute in the plain way, from now on."""
    decoder, seen = base.base_model.forward, []
    assert isinstance(decoder, Decoder)
    states = decoder.states

    def watched(ids: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        assert len(ids) == sum(lengths)
        seen.append(list(lengths))
        return states(ids, lengths)

    decoder.states = watched
    return seen


def assert_same(model: Any, base: PreTrainedModel, inputs: dict[str, torch.Tensor]) -> None:
    """Losses and all gradients before and after `install`."""
    losses, gradients = losses_and_gradients(model, inputs)
    assert install(base)
    computed = computed_by(base)
    fast_losses, fast_gradients = losses_and_gradients(model, inputs)
    assert computed, "it was computed in the plain way"
    torch.testing.assert_close(fast_losses, losses, rtol=1e-5, atol=1e-5)
    assert gradients.keys() == fast_gradients.keys()
    for name, gradient in gradients.items():
        difference = torch.linalg.vector_norm(fast_gradients[name] - gradient)
        assert difference <= 1e-4 * torch.linalg.vector_norm(gradient) + 1e-6, name


FAMILIES = [
    (LlamaConfig, {}),
    (LlamaConfig, {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True}),
    (MistralConfig, {"sliding_window": None}),
    (Qwen2Config, {}),
    (Qwen3Config, {}),
]


@pytest.mark.parametrize(("kind", "changes"), FAMILIES)
@pytest.mark.parametrize("packed", [False, True])
def test_losses_and_gradients_of_an_adapter_are_those_of_the_plain_way(kind: type, changes: Any, packed: bool):
    base = model_of(kind, **changes)
    assert_same(adapted(base), base, batch(packed))


def test_losses_and_gradients_of_all_weights_are_those_of_the_plain_way():
    base = model_of(LlamaConfig, attention_bias=True)
    assert_same(base, base, batch())


def test_rows_of_all_lengths_are_computed_in_a_few_sizes_each_of_which_costs_memory_for_good(
    monkeypatch: pytest.MonkeyPatch,
):
    base: Any = model_of(LlamaConfig)
    model = adapted(base)
    assert install(base)
    computed, heads, linear = computed_by(base), set[int](), functional.linear

    def watched(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        heads.update([len(x)] if weight is base.lm_head.weight else [])
        return linear(x, weight, bias)

    monkeypatch.setattr(functional, "linear", watched)
    chance = torch.Generator().manual_seed(0)
    for _ in range(60):
        lengths = torch.randint(2, 90, (3,), generator=chance)
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        ids = torch.randint(1, 61, mask.shape, generator=chance)
        score(model, {"input_ids": ids, "labels": ids.where(mask, -100), "attention_mask": mask.long()})
    assert len({sum(rows) for rows in computed}) <= 3 * 96 / 32
    assert len({length for rows in computed for length in rows}) <= 96 / 16
    assert heads == {32, 64, 96, 128}


def test_activations_can_be_computed_again_to_spare_memory():
    base = model_of(LlamaConfig)
    model = adapted(base)
    base.gradient_checkpointing_enable({"use_reentrant": False})
    assert_same(model, base, batch())


@pytest.mark.parametrize("numbers", [{"dropout": 0.3}, {"use_dora": True}])
def test_adapters_of_other_kinds_are_computed_by_peft(numbers: dict[str, Any]):
    base = model_of(LlamaConfig)
    model = adapted(base)
    module: Any = model.base_model.model.model.layers[0].self_attn.q_proj
    assert projection(module) is not None
    other: Any = nn.Module()
    if "dropout" in numbers:
        module.lora_dropout["default"] = nn.Dropout(numbers["dropout"])
    else:
        module.lora_variant["default"] = other
    assert projection(module) is None


def test_a_disabled_adapter_is_left_out():
    base = model_of(LlamaConfig)
    plain = score(base, batch()).losses
    model = adapted(base)
    assert install(base)
    assert not torch.allclose(score(model, batch()).losses, plain, atol=1e-3)
    with model.disable_adapter():
        torch.testing.assert_close(score(model, batch()).losses, plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (Gemma2Config, {}),
        (GraniteConfig, {"residual_multiplier": 0.5}),
        (GraniteConfig, {"embedding_multiplier": 3.0}),
        (LlamaConfig, {"hidden_act": "gelu"}),
    ],
)
def test_models_that_compute_something_else_stay_as_they_are(kind: type, changes: Any):
    model = model_of(kind, **changes)
    assert not install(model)
    assert "forward" not in vars(model.base_model)


def test_scaled_logits_are_noticed_and_left_to_the_model():
    base = model_of(GraniteConfig, logits_scaling=3.0)
    model = adapted(base)
    plain = score(model, batch()).losses.detach()
    assert install(base)
    torch.testing.assert_close(score(model, batch()).losses.detach(), plain, rtol=1e-5, atol=1e-5)


def test_rows_longer_than_a_sliding_window_go_the_plain_way():
    base = model_of(MistralConfig, sliding_window=6)
    plain = score(base, batch()).losses
    assert install(base)
    torch.testing.assert_close(score(base, batch()).losses, plain, rtol=0, atol=0)


def test_generation_goes_the_plain_way_and_finds_the_same_words():
    base = model_of(LlamaConfig).eval()
    prompt = torch.arange(1, 6)[None]
    plain = base.generate(prompt, max_new_tokens=8, do_sample=False)  # pyright: ignore[reportCallIssue]
    assert install(base)
    assert base.generate(prompt, max_new_tokens=8, do_sample=False).tolist() == plain.tolist()  # pyright: ignore[reportCallIssue]


def numbers(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def layout(lengths: tuple[int, ...], head: int) -> Layout:
    angles = torch.rand(sum(lengths), 1, head // 2, dtype=torch.float64)
    return Layout(lengths, angles.cos(), angles.sin())


def gradients_hold(function: Any, *inputs: Any) -> bool:
    return torch.autograd.gradcheck(function, inputs, fast_mode=True)


def test_the_gradient_of_each_kernel_is_that_of_finite_differences(monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(0)
    rows = layout((5, 3), 4)
    assert gradients_hold(lambda x, w: rms_norm(x, w, 1e-5), numbers(6, 8), numbers(8))
    assert gradients_hold(swiglu, numbers(5, 6), numbers(5, 6))
    weights = [numbers(4, 6), numbers(4), numbers(2, 6), numbers(4, 2), numbers(3, 6), None, None, None]
    assert gradients_hold(lambda x, *given: Projections.apply(x, [0.5, 1.0], *given), numbers(7, 6), *weights)
    assert gradients_hold(
        lambda q, k, v: attention(q, k, v, rows, 4, 0.3), numbers(8, 16), numbers(8, 8), numbers(8, 8)
    )
    head, targets = torch.randn(9, 6, dtype=torch.float64), torch.tensor([1, 8, 0, 4, 4])
    monkeypatch.setattr("faion_finetuner.core.train.kernels.losses.CHUNK", 2)
    assert gradients_hold(lambda states: token_losses(states, head, targets), numbers(5, 6))


@pytest.mark.parametrize("kept", [0, 512])
def test_long_rows_are_attended_in_blocks(monkeypatch: pytest.MonkeyPatch, kept: int):
    monkeypatch.setattr("faion_finetuner.core.train.kernels.attention.BLOCK", 3)
    monkeypatch.setattr("faion_finetuner.core.train.kernels.attention.KEPT_LENGTH", kept)
    torch.manual_seed(0)
    rows = layout((8, 2, 6), 4)
    assert gradients_hold(
        lambda q, k, v: attention(q, k, v, rows, 4, 0.3), numbers(16, 8), numbers(16, 4), numbers(16, 4)
    )


def test_in_bfloat16_the_fast_way_is_as_near_to_the_truth_as_the_plain_one(tmp_path: Path):
    exact = model_of(LlamaConfig)
    losses = score(exact, batch()).losses
    half = exact.bfloat16()
    plain = score(half, batch()).losses
    assert install(half)
    fast = score(half, batch()).losses
    assert (fast - losses).abs().mean() < 1.5 * (plain - losses).abs().mean() + 1e-3
