"""Prefixes that a benchmark's inputs share are read once, and no bit of any answer changes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from faion_finetuner.core.evaluate.benchmarks import shared_prefix
from faion_finetuner.core.evaluate.benchmarks.shared_prefix import Input, Outputs, Pack, Reader, packs

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"  # peft 0.21 asks transformers 5 by the old name
)

Requests = list[tuple[Any, list[int], list[int]]]


@pytest.fixture(params=[torch.bfloat16, torch.float32], ids=["bfloat16", "float32"])
def model(request: pytest.FixtureRequest, base_folder: Path, adapter_folder: Path) -> Any:
    from faion_finetuner.core.models.load import attach_adapter
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(base_folder, dtype=request.param, attn_implementation="sdpa")
    return attach_adapter(base, adapter_folder).eval()


class Seen:
    """What a reader was given, and what it left to be read alone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tokens = self.apart = 0
        read = Reader.read

        def watched(reader: Reader, pack: Pack) -> Outputs:
            outputs = read(reader, pack)
            self.tokens += len(pack.ids)
            self.apart += sum(rows is None for rows in outputs.rows)
            return outputs

        monkeypatch.setattr(Reader, "read", watched)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    return Seen(monkeypatch)


def questions(lengths: Sequence[int], answers: int = 4) -> Requests:
    """Questions of these lengths behind the same examples, each with some answers of several tokens."""
    generator = torch.Generator().manual_seed(0)

    def tokens(n: int) -> list[int]:
        return torch.randint(5, 300, (n,), generator=generator).tolist()

    examples = tokens(20)
    asked = [[*examples, *tokens(n)] for n in lengths]
    return [(None, question, tokens(1 + n)) for question in asked for n in range(answers)]


def answers(model: Any, tokenizer: Any, requests: Requests) -> list[tuple[float, bool]]:
    from faion_finetuner.core.evaluate.benchmarks.lean_model import LeanModel

    return LeanModel(model, tokenizer, {}, lambda _: None)._loglikelihood_tokens(requests)


def lm_eval_answers(model: Any, tokenizer: Any, requests: Requests) -> list[tuple[float, bool]]:
    from lm_eval.models import huggingface

    wrap: Any = huggingface.HFLM
    return wrap(pretrained=model, tokenizer=tokenizer, batch_size=16)._loglikelihood_tokens(requests)


@pytest.fixture
def tokenizer(base_folder: Path) -> Any:
    from faion_finetuner.core.models.load import load_tokenizer

    return load_tokenizer(base_folder)


@pytest.mark.parametrize(
    "lengths", [range(5, 45), range(150, 200, 4), range(330, 470, 11)], ids=["short", "192", "long"]
)
def test_no_bit_differs_from_lm_eval(model: Any, tokenizer: Any, seen: Seen, lengths: range):
    requests = questions(lengths)
    assert answers(model, tokenizer, requests) == lm_eval_answers(model, tokenizer, requests)
    assert 0 < seen.tokens < 0.7 * sum(len(before) + len(after) for _, before, after in requests)


def test_the_model_attends_as_before_afterwards(model: Any, tokenizer: Any):
    base = model.get_base_model()
    answers(model, tokenizer, questions(range(5, 20)))
    assert base.config._attn_implementation == "sdpa"
    assert shared_prefix.NAME not in shared_prefix.ALL_ATTENTION_FUNCTIONS


def test_what_attention_sees_otherwise_is_read_alone(
    model: Any, tokenizer: Any, seen: Seen, monkeypatch: pytest.MonkeyPatch
):
    """As on a machine whose attention gives other bits in odd lengths."""
    attend = shared_prefix.sdpa_attention_forward

    def uneven(module: Any, query: torch.Tensor, *rest: Any, **options: Any) -> tuple[torch.Tensor, None]:
        out, weights = attend(module, query, *rest, **options)
        return (out * 1.5 if query.shape[2] % 2 else out), weights

    monkeypatch.setattr(shared_prefix, "sdpa_attention_forward", uneven)
    monkeypatch.setitem(shared_prefix.ALL_ATTENTION_FUNCTIONS, "sdpa", uneven)
    requests = questions(range(5, 45))
    assert answers(model, tokenizer, requests) == lm_eval_answers(model, tokenizer, requests)
    assert seen.apart > 0


def test_a_machine_on_which_a_sample_differs_reads_everything_alone(
    model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
):
    packs_read = []
    read = Reader.read

    def rounded(reader: Reader, pack: Pack) -> Outputs:
        packs_read.append(pack)
        outputs = read(reader, pack)
        return Outputs(outputs.logits * 1.01, outputs.rows)

    monkeypatch.setattr(Reader, "read", rounded)
    requests = questions(range(5, 45))
    assert answers(model, tokenizer, requests) == lm_eval_answers(model, tokenizer, requests)
    assert len(packs_read) == 1


def test_a_token_is_read_once_for_inputs_whose_lengths_attention_treats_alike():
    width = 3 * shared_prefix.LANES
    start = tuple(range(width - 2))
    alike = [Input((*start, n), width - 1, 1, (n,)) for n in range(4)]
    (pack,) = packs(alike)
    assert len(pack.ids) == len(start) + 4
    assert [pack.ids[place] for place in pack.places[3]] == [*start, 3]
    assert [pack.positions[place] for place in pack.places[3]] == list(range(width - 1))
    (pack,) = packs([*alike, Input((*start, 0), width, 1, (9,))])  # one more vector: the last one is added otherwise
    assert len(pack.ids) == len(start) + 4 + shared_prefix.LANES - 1


def test_packs_hold_every_input_once_and_stay_small():
    inputs = [Input((7, n, *range(300)), 302, 1, (n,)) for n in range(50)]
    found = list(packs(inputs))
    assert sorted(one for pack in found for one in pack.inputs) == inputs
    assert max(len(pack.ids) for pack in found) < shared_prefix.TOKENS_AT_ONCE + 302


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("layer_types", ["sliding_attention", "full_attention"]),
        ("sliding_window", 16),
        ("_attn_implementation", "eager"),
    ],
)
def test_other_attention_is_left_alone(model: Any, change: str, value: Any):
    assert Reader(model).can_read()
    setattr(model.get_base_model().config, change, value)
    assert not Reader(model).can_read()
