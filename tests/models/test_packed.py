"""Packed weights give the same numbers, and are gone when the model has answered."""

import pytest
import torch
from faion_finetuner.core.models import packed as packing
from faion_finetuner.core.models.packed import packed
from torch import nn

SUPPORTED = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


@pytest.mark.skipif(not SUPPORTED, reason="this processor has no bfloat16 products")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("tokens", [1, 2, 7, 32, 33, 300])
def test_packed_weights_give_the_same_numbers_to_the_last_bit(bias: bool, tokens: int):
    torch.manual_seed(tokens)
    layer = nn.Linear(96, 77, bias=bias, dtype=torch.bfloat16)
    x = torch.randn(2, tokens, 96, dtype=torch.bfloat16)
    with torch.inference_mode():
        expected = layer(x)
        with packed(layer):
            assert "forward" in vars(layer)
            assert torch.equal(layer(x), expected)
            assert torch.equal(layer(x.float().bfloat16()[:, :0]), expected[:, :0])
    assert "forward" not in vars(layer)


@pytest.mark.skipif(not SUPPORTED, reason="this processor has no bfloat16 products")
def test_layers_beyond_the_room_and_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(packing, "MOST_BYTES", 64 * 64 * 2)
    layers = nn.Sequential(*(nn.Linear(64, 64, dtype=dtype) for dtype in (torch.float32, *[torch.bfloat16] * 3)))

    hooked = layers[1].forward = layers[3].forward  # as a library does that keeps a layer's weights elsewhere
    with packed(layers):
        assert ["forward" in vars(layer) for layer in layers] == [False, True, True, False]
    assert layers[1].forward is hooked
    assert "forward" not in vars(layers[2])


@pytest.mark.skipif(not SUPPORTED, reason="this processor has no bfloat16 products")
def test_gradients_still_flow_and_an_error_unpacks():
    layer = nn.Linear(8, 8, dtype=torch.bfloat16)
    with packed(layer):
        layer(torch.ones(3, 8, dtype=torch.bfloat16)).sum().backward()
    assert layer.weight.grad is not None
    with pytest.raises(RuntimeError), packed(layer):
        layer(torch.ones(3, 9, dtype=torch.bfloat16))
    assert "forward" not in vars(layer)
