"""Adapters or models become one by each strategy, as peft's own arithmetic says; QLoRA's base is a measured choice."""

from pathlib import Path
from typing import Any

import pytest
from faion_finetuner.core.errors import InputError, MissingExtraError, ModelError
from faion_finetuner.core.examples.chat import ChatTokenizer
from faion_finetuner.core.merge import request
from faion_finetuner.core.merge.probes import collect
from faion_finetuner.core.merge.report import report
from faion_finetuner.core.settings import Settings

from ..tiny import tiny_model, write_tiny_rows
from .support import folder_of, make_adapter, merge, peft_merged_weights, proof_of, saved_weights

pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),  # peft, on attaching
    pytest.mark.filterwarnings("ignore:The density 1"),
    pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`"),
    pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`"),
]


class Two:
    """A base and two adapters that change partly the same layers."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.root = settings, settings.roots[0]
        self.base = tiny_model(self.root / "base")
        self.first = make_adapter(self.base, self.root / "first", seed=1)
        self.second = make_adapter(self.base, self.root / "second", seed=2, target_modules=["q_proj", "v_proj"], r=2)

    def merge(self, strategy: str, **arguments: Any) -> Any:
        adapters = arguments.pop("adapter_path", (self.first, self.second))
        out = self.root / f"out-{strategy}"
        return merge(
            self.settings,
            model_name=str(self.base),
            adapter_path=adapters,
            strategy=strategy,
            output_dir=out,
            **arguments,
        )

    def changes(self, name: str) -> list[Any]:
        start = saved_weights(self.base)[name]
        return [peft_merged_weights(self.base, adapter)[name] - start for adapter in (self.first, self.second)]


@pytest.fixture
def two(settings: Settings) -> Two:
    return Two(settings)


Q = "model.layers.0.self_attn.q_proj.weight"


@pytest.mark.parametrize("strategy", ["linear", "svd", "task_arithmetic", "ties", "dare_linear", "dare_ties", "slerp"])
def test_every_strategy_is_proven_against_the_same_combination_made_by_peft(two, strategy):
    result = two.merge(strategy)
    assert result.method == "shards"
    assert proof_of(result).status == "pass"
    assert proof_of(result).greedy_agreement == 1
    names = [one.model.rpartition("/")[2] for one in result.measured]
    assert names == ["base", "first alone", "second alone", "merged"]
    assert result.measured[-1].mean_kl < 1e-6 < result.measured[0].mean_kl
    assert "first alone" in report(result).markdown


def loss_on(rows: Path, model: Any, folder: Path) -> float:
    """Nats a token of the answers, by transformers' own loss."""
    import torch

    total, tokens = 0.0, 0
    for probe in collect(ChatTokenizer.load(folder), None, rows, 32).probes:
        labels = torch.tensor([[-100] * probe.answer_at + list(probe.ids[probe.answer_at :])])
        answer = len(probe.ids) - probe.answer_at
        with torch.inference_mode():
            total += float(model.eval()(input_ids=torch.tensor([probe.ids]), labels=labels).loss) * answer
        tokens += answer
    return total / tokens


def test_base_each_adapter_and_the_combination_are_measured_on_the_given_rows(two):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    rows = write_tiny_rows(two.root / "rows.jsonl", 40, seed=5)
    result = two.merge("linear", data_path=rows)
    base, merged = (AutoModelForCausalLM.from_pretrained(folder) for folder in (two.base, folder_of(result)))
    alone = [
        PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(two.base), adapter)
        for adapter in (two.first, two.second)
    ]
    expected = [loss_on(rows, model, two.base) for model in (base, *alone, merged)]
    assert [one.loss for one in result.measured] == pytest.approx(expected, abs=1e-4)
    assert proof_of(result).prompts == 32
    check = next(check for check in result.checks if check.name == "combination")
    assert f"On 32 rows of rows.jsonl the combination's loss is {expected[3]:.4f}" in check.details
    assert check.status == ("pass" if expected[3] < expected[0] else "warn")


def test_a_combination_no_better_than_the_base_is_told():
    from faion_finetuner.core.merge.findings import combination_check
    from faion_finetuner.core.merge.probes import Probes
    from faion_finetuner.core.merge.result import Measured

    def checked(*losses: float) -> Any:
        names = ("base", "first alone", "second alone", "merged")
        pairs = zip(names, losses, strict=True)
        return combination_check([Measured(model=n, loss=one, mean_kl=None) for n, one in pairs], Probes((), "rows"))

    assert checked(3.0, 2.0, 2.5, 2.9).status == "pass"
    assert checked(3.0, 2.0, 2.5, 3.0).status == "warn"
    assert "that of first alone 2.0000" in checked(3.0, 2.0, 2.5, 3.1).details


def test_ties_keeps_the_largest_changes_of_the_outweighing_sign(two):
    import torch
    from peft.utils.merge_utils import ties

    merged = saved_weights(folder_of(two.merge("ties", density=0.3, verify=False)))[Q]
    expected = saved_weights(two.base)[Q] + ties(two.changes(Q), torch.tensor([1.0, 1.0]), density=0.3)
    assert float((merged - expected).abs().max()) < 1e-5


MERGEKITS = ["breadcrumbs", "breadcrumbs_ties", "della", "della_linear", "karcher", "model_stock", "nuslerp", "sce"]


@pytest.mark.parametrize("strategy", MERGEKITS)
def test_mergekits_strategies_give_mergekits_own_weights(two, strategy):
    import zlib

    import torch

    mergekit = pytest.importorskip("mergekit.merge_methods")
    result = two.merge(strategy, density=0.4)
    assert proof_of(result).status == "pass"
    assert f"combined by {strategy}" in result.method_reason
    start, name = saved_weights(two.base)[Q], "model.layers.0.self_attn.v_proj.weight"  # only the second changes it
    numbers = {
        "karcher": {}, "model_stock": {}, "nuslerp": {"weight": [0.5, 0.5]}, "sce": {"select_topk": 0.4},
    }.get(strategy, {"weight": [1.0, 1.0], "density": 0.4})  # fmt: skip
    models = [start + change for change in two.changes(Q)]
    tensors, base = (models, None) if strategy == "karcher" else ([start, *models], 0)
    with torch.random.fork_rng():
        torch.manual_seed(42 ^ zlib.crc32(Q.encode()))
        expected = mergekit.merge_tensors(tensors, strategy, parameters=numbers, base_index=base)
    merged = saved_weights(folder_of(result))
    assert float((merged[Q] - expected).abs().max()) < 1e-5
    assert float((merged[Q] - start).abs().max()) > 1e-4
    assert bool(merged[name].isfinite().all())


def test_any_density_serves_della(two):
    pytest.importorskip("mergekit.merge_methods")
    for density in (0.05, 0.97, 1.0):
        merged = saved_weights(folder_of(two.merge("della", density=density, verify=False, overwrite=True)))
        assert bool(merged[Q].isfinite().all())


def test_a_strategy_of_mergekit_without_it_is_refused_with_the_line_to_run(two, monkeypatch):
    monkeypatch.setattr(request, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError) as caught:
        two.merge("breadcrumbs")
    assert "faion-finetuner[mergekit]" in caught.value.next_step


@pytest.mark.parametrize(
    ("strategy", "weights", "words"),
    [
        ("nuslerp", (0.0, 1.0), "above zero"),
        ("karcher", (1.0, 1.0), "finds the shares itself"),
        ("model_stock", None, "not of one"),
    ],
)
def test_what_a_strategy_of_mergekit_asks_for_is_told(two, strategy, weights, words):
    adapters = (two.first,) if strategy == "model_stock" else (two.first, two.second)
    with pytest.raises(InputError, match=words):
        two.merge(strategy, adapter_path=adapters, weights=weights)


def test_svd_keeps_the_largest_rank_of_the_sum(two):
    import torch

    merged = saved_weights(folder_of(two.merge("svd", weights=(1.0, 2.0), verify=False)))[Q]
    change = merged - saved_weights(two.base)[Q]
    one, other = two.changes(Q)
    values = torch.linalg.svdvals(one + 2 * other)
    assert torch.allclose(torch.linalg.svdvals(change)[:4], values[:4], atol=1e-4)
    assert float(torch.linalg.svdvals(change)[4]) < 1e-4 < float(values[4])


def test_dare_drops_the_same_numbers_for_the_same_seed(two):
    first = saved_weights(folder_of(two.merge("dare_linear", verify=False)))[Q]
    again = saved_weights(folder_of(two.merge("dare_linear", verify=False, overwrite=True)))[Q]
    other = saved_weights(folder_of(two.merge("dare_linear", verify=False, seed=7)))[Q]
    assert bool((first == again).all())
    assert bool((first != other).any())


def test_whole_models_combine_like_adapters(two):
    models = []
    for number, adapter in enumerate((two.first, two.second)):
        out = two.root / f"model-{number}"
        merge(two.settings, model_name=str(two.base), adapter_path=adapter, output_dir=out, verify=False)
        models.append(out / "merged")
    result = two.merge("task_arithmetic", adapter_path=tuple(models))
    assert proof_of(result).status == "pass"
    expected = saved_weights(two.base)[Q] + sum(two.changes(Q))
    assert float((saved_weights(folder_of(result))[Q] - expected).abs().max()) < 1e-5


def test_slerp_of_weights_far_apart_goes_along_the_arc():
    import torch
    from faion_finetuner.core.merge.mix import slerp

    one, two = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    assert torch.allclose(slerp(one, two, 0.5), torch.full((1, 2), 0.5**0.5))


def test_model_of_another_shape_is_refused(two):
    other = tiny_model(two.root / "other", layers=1)
    with pytest.raises(ModelError, match="lacks 9 of the base's weights"):
        two.merge("ties", adapter_path=(two.first, other))


def test_contradictions_are_told_at_once(two):
    with pytest.raises(InputError) as raised:
        two.merge("slerp", adapter_path=(two.first,), weights=(0.0, 1.0))
    assert "two of them, not 1" in str(raised.value)
    assert "above zero" in str(raised.value)


def qlora(settings: Settings, **arguments: Any) -> Any:
    root = settings.roots[0]
    base = tiny_model(root / "base")
    adapter = make_adapter(base, root / "adapter", target_modules="all-linear", strength=0.05)
    rows = write_tiny_rows(root / "rows.jsonl", 12, seed=5)
    arguments = {"data_path": rows, "quantized_base": "dequantized"} | arguments
    return merge(settings, model_name=str(base), adapter_path=adapter, output_dir=root / "out", **arguments)


def test_dequantised_base_is_the_one_that_qlora_trains_on(settings: Settings):
    from faion_finetuner.core.models.load import load_base

    result = qlora(settings)
    assert proof_of(result).status == "pass"  # against peft on bitsandbytes' own 4-bit model
    assert proof_of(result).prompt_source == "rows of rows.jsonl"
    name = "model.layers.1.mlp.up_proj"
    layer: Any = load_base(settings.roots[0] / "base", dtype="float32", nf4=True, settings=settings).get_submodule(name)
    import bitsandbytes.functional as functional

    trained_on = functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
    adapted = peft_merged_weights(settings.roots[0] / "base", settings.roots[0] / "adapter")[f"{name}.weight"]
    change = adapted - saved_weights(settings.roots[0] / "base")[f"{name}.weight"]
    merged = saved_weights(folder_of(result))
    assert float((merged[f"{name}.weight"] - trained_on - change).abs().max()) < 1e-5
    assert bool(
        (
            merged["model.embed_tokens.weight"]
            == saved_weights(Path(settings.roots[0] / "base"))["model.embed_tokens.weight"]
        ).all()
    )


def test_base_of_a_qlora_adapter_is_chosen_by_the_loss_on_held_out_rows(settings: Settings, monkeypatch):
    from faion_finetuner.core.merge import job

    monkeypatch.setattr(job.Job, "is_qlora", property(lambda self: True))
    result = qlora(settings, quantized_base="auto")
    original, trained = result.measured[:2]
    assert (original.model, trained.model) == ("adapter on the 16-bit base", "adapter on the 4-bit base, as trained")
    assert original.mean_kl > 0
    check = next(check for check in result.checks if check.name == "qlora_base")
    assert check.status == "pass"
    kept = "16-bit" if "into the original base" in check.details else "4-bit"
    better = "16-bit" if original.loss < trained.loss else "4-bit"
    assert kept == better or "standard error" in check.details
    assert proof_of(result).status == "pass"


def test_shares_that_make_no_whole_are_told(settings):
    root = settings.roots[0]
    base = tiny_model(root / "base")
    adapters = tuple(make_adapter(base, root / name, seed=seed) for seed, name in enumerate(("one", "two")))
    arguments = {"model_name": str(base), "adapter_path": adapters, "output_dir": root / "out", "dry_run": True}
    strong = merge(settings, **arguments, strategy="linear", weights=(0.9, 0.9))
    assert any("add up to 1.8, not 1" in warning for warning in strong.warnings)
    for fine in ({"strategy": "linear", "weights": (0.3, 0.7)}, {"strategy": "task_arithmetic", "weights": (0.9, 0.9)}):
        assert not any("add up" in warning for warning in merge(settings, **arguments, **fine).warnings)
