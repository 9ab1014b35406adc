"""LoRA at less cost gives the numbers of peft's, and is gone when the model has answered."""

from typing import Any

import pytest
import torch
from faion_finetuner.core.models.lean_lora import lean_lora
from peft import LoraConfig, get_peft_model
from torch import nn

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft
LAYERS = 3


class Tower(nn.Module):
    """Layers that share an input, as query, key and value do, and one after them."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.q, self.k = (nn.Linear(24, 24, dtype=dtype) for _ in range(2))
        self.out = nn.Linear(24, 10, dtype=dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.tanh(self.q(x) + self.k(x)))


def adapted(dtype: torch.dtype = torch.bfloat16, *, wide: bool = True, **config: Any) -> Any:
    torch.manual_seed(3)
    settings = {"r": 4, "lora_alpha": 8, "init_lora_weights": False, "lora_dropout": 0.1} | config
    model: Any = get_peft_model(
        Tower(dtype),
        LoraConfig(target_modules=["q", "k", "out"], **settings),
        autocast_adapter_dtype=wide,
    )
    return model.eval()


def changed(model: nn.Module) -> int:
    return sum("forward" in vars(layer) for layer in model.modules())


@pytest.mark.parametrize("tokens", [1, 5, 300])
@pytest.mark.parametrize("alpha", [4, 8, 1, 12], ids=lambda alpha: f"scaling {alpha / 4}")
@pytest.mark.parametrize(
    ("dtype", "wide"),
    [
        *((torch.bfloat16, wide) for wide in (True, False)),
        *((torch.float16, wide) for wide in (True, False)),
        (torch.float32, True),
    ],
)
def test_the_numbers_are_those_of_peft_to_the_last_bit(dtype: torch.dtype, wide: bool, alpha: int, tokens: int):
    model = adapted(dtype, wide=wide, lora_alpha=alpha)
    x = torch.randn(2, tokens, 24).to(dtype)
    with torch.inference_mode():
        expected, next_one = model(x), model(x / 3)
        with lean_lora(model):
            assert changed(model) == LAYERS
            assert torch.equal(model(x), expected)
            assert torch.equal(model(x / 3), next_one)
        with model.disable_adapter():
            bare = model(x)
            with lean_lora(model):
                assert changed(model) == LAYERS
                assert torch.equal(model(x), bare)
    assert not torch.equal(bare, expected)
    assert changed(model) == 0


def test_an_adapter_in_other_numbers_than_its_base_is_added_as_peft_adds_it():
    model = adapted(torch.float32).to(torch.float32)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            weight.data = weight.data.bfloat16()
    x = torch.randn(2, 5, 24)
    with torch.inference_mode():
        expected = model(x)
        with lean_lora(model):
            assert changed(model) == LAYERS
            assert torch.equal(model(x), expected)


def test_numbers_at_the_end_of_float16_are_scaled_as_peft_scales_them():
    model = adapted(torch.float16, wide=False, lora_alpha=1)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.data *= 1e-4
    x = torch.randn(2, 50, 24).half()
    with torch.inference_mode():
        expected = model(x)
        with lean_lora(model):
            assert torch.equal(model(x), expected)


def test_layers_that_do_more_than_add_are_left_to_peft():
    assert all_left(adapted(use_dora=True))
    assert all_left(adapted(lora_bias=True))
    assert all_left(adapted().train())
    several = adapted()
    several.add_adapter("other", LoraConfig(target_modules=["q"], r=2))
    several.base_model.set_adapter(["default", "other"])
    assert all_left(several.eval())
    merged = adapted()
    merged.merge_adapter()
    assert all_left(merged)


def all_left(model: Any) -> bool:
    with lean_lora(model):
        return changed(model) == 0


def test_gradients_still_flow_and_an_error_gives_the_layers_back():
    model = adapted(torch.float32)
    with lean_lora(model):
        model(torch.ones(3, 24)).sum().backward()
    grads = [weight.grad for name, weight in model.named_parameters() if "lora_A" in name]
    assert all(grad is not None and grad.abs().sum() > 0 for grad in grads)
    with pytest.raises(RuntimeError), lean_lora(model), torch.inference_mode():
        model(torch.ones(3, 25))
    assert changed(model) == 0
