"""Likelihood against one text at a time; greedy answers against transformers' own generate."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from faion_finetuner.core.evaluate.local import float32, likelihood, prefix
from faion_finetuner.core.evaluate.local.choices import Choices, nll
from faion_finetuner.core.evaluate.local.likelihood import measure
from faion_finetuner.core.evaluate.local.windows import Piece
from faion_finetuner.core.examples.chat import ChatTokenizer
from faion_finetuner.core.examples.dialects import read_record
from faion_finetuner.core.examples.mask import Tokenized, tokenize_many
from faion_finetuner.core.examples.types import Message
from faion_finetuner.core.models.generate import generate
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

from tests.tiny import tiny_model, tiny_rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untied embeddings: with tied ones a random model says one token over and over."""
    return tiny_model(tmp_path_factory.mktemp("models") / "untied", tied=False)


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> ChatTokenizer:
    return ChatTokenizer.load(folder)


def prompts(tokenizer: ChatTokenizer) -> list[str]:
    texts = [row["messages"][0]["content"] * (1 + n % 4) for n, row in enumerate(tiny_rows(30, seed=3))]
    return [tokenizer.render([Message("user", text)], add_generation_prompt=True) for text in texts]


def test_batched_likelihoods_equal_those_of_one_text_at_a_time(model: Any, tokenizer: ChatTokenizer):
    items = tokenize_many([read_record(row) for row in tiny_rows(30, seed=2)], tokenizer, None)
    items += [Tokenized([5], [5], 0, 0, 1), Tokenized([7, 8], [-100, 8], 0, 0, 1)]
    found = measure(model, items)
    assert [one.all_tokens for one in found] == [len(item.input_ids) - 1 for item in items]
    for item, one in zip(items, found, strict=True):
        if len(item.input_ids) < 2:
            continue
        ids, labels = torch.tensor([item.input_ids]), torch.tensor([item.labels])
        with torch.no_grad():
            everything, answer = (model(input_ids=ids, labels=chosen).loss.item() for chosen in (ids, labels))
        assert one.all_nll / one.all_tokens == pytest.approx(everything, rel=1e-4)
        assert one.answer_nll / one.answer_tokens == pytest.approx(answer, rel=1e-4)
        assert one.answer_tokens == sum(label != -100 for label in item.labels[1:])


def one_at_a_time(model: Any, ids: list[int]) -> list[float]:
    """Minus the log-probability of each token but the first, after all that stand before it in a window of 512."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
    return [-logits[place, token].item() for place, token in enumerate(ids[1:])]


@pytest.mark.parametrize("shared", [5, 16, 40])
def test_a_beginning_that_texts_share_is_read_once_and_changes_no_number(
    model: Any, shared: int, monkeypatch: pytest.MonkeyPatch
):
    generator = random.Random(shared)
    start = [generator.randrange(3, 300) for _ in range(shared)]
    rows = [start + [generator.randrange(3, 300) for _ in range(length)] for length in (1, 9, 9, 30, 31, 2)]
    rows.append([generator.randrange(3, 300) for _ in range(25)])
    items = [Tokenized(ids, [-100, -100, *ids[2:]], 0, 0, 1) for ids in rows]
    read = 0
    backbone = type(model.base_model)
    forward = backbone.forward

    def counted(self: Any, *given: Any, **named: Any) -> Any:
        nonlocal read
        read += named["input_ids"].numel()
        return forward(self, *given, **named)

    monkeypatch.setattr(backbone, "forward", counted)
    found = measure(model, items)
    assert (read < sum(map(len, rows))) == (shared >= 16)
    for ids, one in zip(rows, found, strict=True):
        each = one_at_a_time(model, ids)
        assert one.all_nll == pytest.approx(sum(each), rel=1e-5)
        assert (one.all_tokens, one.answer_tokens) == (len(ids) - 1, len(ids) - 2)
        assert one.answer_nll == pytest.approx(sum(each[1:]), rel=1e-5)


def test_a_beginning_is_shared_only_by_texts_that_are_short_enough_for_it_to_pay(model: Any):
    pieces = [Piece(n, [7] * 20 + [n] * length, []) for n, length in enumerate((80, 90, 100, 110, 300, 400))]
    assert prefix.reach(model) == 12 * 64  # its hidden size: with 20 tokens shared, texts below 124 tokens gain
    (alone,) = prefix.groups(pieces, prefix.reach(model))  # but 3 are too few
    assert (alone.shared, len(alone.pieces)) == (0, 6)
    shared, alone = prefix.groups(pieces, 12 * 80)
    assert (shared.shared, [piece.item for piece in shared.pieces]) == (20, [0, 1, 2, 3])
    assert (alone.shared, [piece.item for piece in alone.pieces]) == (0, [4, 5])


def test_padding_behind_texts_costs_no_mask_and_changes_no_number(model: Any, monkeypatch: pytest.MonkeyPatch):
    generator = random.Random(9)
    rows = [[generator.randrange(3, 300) for _ in range(length)] for length in (60, 58, 59, 57)]
    attention, masks = torch.nn.functional.scaled_dot_product_attention, []

    def seen(*given: Any, attn_mask: Any = None, **named: Any) -> Any:
        masks.append(attn_mask)
        return attention(*given, attn_mask=attn_mask, **named)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", seen)
    found = measure(model, [Tokenized(ids, ids, 0, 0, len(ids)) for ids in rows])
    assert masks
    assert all(mask is None for mask in masks)
    for ids, one in zip(rows, found, strict=True):
        assert one.all_nll == pytest.approx(sum(one_at_a_time(model, ids)), rel=1e-5)


@pytest.mark.parametrize("kept", [float32.KEPT, 10_000, 0])
def test_16_bit_weights_give_the_likelihoods_of_float32_arithmetic(
    folder: Path, kept: int, monkeypatch: pytest.MonkeyPatch
):
    generator = random.Random(4)
    items = [
        Tokenized(ids, ids, 0, 0, len(ids))
        for length in (3, 17, 40, 200)
        for ids in [[generator.randrange(3, 300) for _ in range(length)]]
    ]
    narrow = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    wide = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval().float()
    monkeypatch.setattr(float32, "multiplies_float32_well", lambda: True)
    monkeypatch.setattr(float32, "KEPT", kept)
    monkeypatch.setattr(float32, "WIDENED_AT_ONCE", 1_000)
    expected = [sum(one_at_a_time(wide, item.input_ids)) for item in items]
    assert [one.all_nll for one in measure(narrow, items)] == pytest.approx(expected, rel=1e-6)
    assert narrow.dtype == torch.bfloat16
    monkeypatch.setattr(float32, "multiplies_float32_well", lambda: False)
    assert [one.all_nll for one in measure(narrow, items)] != pytest.approx(expected, rel=1e-6)


def test_experts_and_what_is_written_in_place_compute_in_float32(model: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(float32, "multiplies_float32_well", lambda: True)
    config = AutoConfig.for_model(
        "mixtral", vocab_size=300, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, num_local_experts=4,
    )  # fmt: skip
    torch.manual_seed(0)
    experts = AutoModelForCausalLM.from_config(config).eval()
    for weight in experts.parameters():
        weight.data = weight.data.mul(4).bfloat16().float()  # large enough for rounding to show
    generator = random.Random(6)
    rows = [[generator.randrange(3, 300) for _ in range(length)] for length in (5, 30, 31)]
    expected = [sum(one_at_a_time(experts, ids)) for ids in rows]
    for weight in experts.parameters():
        weight.data = weight.data.bfloat16()
    items = [Tokenized(ids, ids, 0, 0, len(ids)) for ids in rows]
    assert [one.all_nll for one in measure(experts, items)] == pytest.approx(expected, rel=1e-6)
    with float32.computed_in_float32(model):
        made = torch.zeros(3, dtype=torch.bfloat16)
        made[1] = 1 / 3
        made.add_(1)
    assert made.tolist() == pytest.approx([1, 4 / 3, 1], rel=1e-7)


def test_asking_for_a_property_or_a_part_of_a_weight_widens_no_more_than_that(
    model: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(float32, "multiplies_float32_well", lambda: True)
    widened: list[int] = []

    def counted(value: Any) -> Any:
        if isinstance(value, torch.Tensor) and value.dtype == torch.bfloat16:
            widened.append(value.numel())
        return plain(value)

    plain = float32._widened
    monkeypatch.setattr(float32, "_widened", counted)
    experts = torch.zeros(4, 50, 2, dtype=torch.bfloat16)
    with float32.computed_in_float32(model):
        assert (experts.shape, experts.device.type, experts.dtype) == ((4, 50, 2), "cpu", torch.float32)
        assert widened == []
        assert experts[2].dtype == torch.float32
    assert widened == [100]


def test_logits_that_the_model_caps_are_left_to_the_model():
    config = AutoConfig.for_model(
        "gemma2", vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, final_logit_softcapping=0.5, max_position_embeddings=256,
    )  # fmt: skip
    torch.manual_seed(0)
    capping = AutoModelForCausalLM.from_config(config).eval()
    capping.get_output_embeddings().weight.data.mul_(20)
    generator = random.Random(5)
    rows = [[generator.randrange(3, 300) for _ in range(length)] for length in (12, 20, 21, 30)]
    found = measure(capping, [Tokenized(ids, ids, 0, 0, len(ids)) for ids in rows])
    assert [one.all_nll for one in found] == pytest.approx([sum(one_at_a_time(capping, ids)) for ids in rows], rel=1e-5)


def test_copies_of_a_long_beginning_count_towards_what_lies_in_memory_at_once():
    pieces = [Piece(number, [1] * 1_010, [1] * 1_010) for number in range(20)]
    assert [len(batch) for batch in likelihood._batches(pieces, 1_000, budget=2_000)] == [8, 8, 4]
    assert [len(batch) for batch in likelihood._batches(pieces, 0, budget=2_000)] == [1] * 20


def test_a_text_longer_than_the_window_is_read_in_strides_that_predict_each_token_once(model: Any):
    generator = random.Random(3)
    ids = [generator.randrange(3, 300) for _ in range(512 + 256 + 100)]
    labels = [-100] * 300 + ids[300:]
    (found,) = measure(model, [Tokenized(ids, labels, 0, 0, 1)])
    first, second, last = (one_at_a_time(model, ids[start : start + 512]) for start in (0, 256, 356))
    expected = [*first, *second[-256:], *last[-100:]]
    assert (found.all_tokens, found.answer_tokens) == (len(ids) - 1, len(ids) - 300)
    assert found.all_nll == pytest.approx(sum(expected), rel=1e-5)
    assert found.answer_nll == pytest.approx(sum(expected[299:]), rel=1e-5)


def test_of_a_prompt_longer_than_the_window_only_what_is_read_beside_the_answer_costs_time(model: Any):
    generator = random.Random(3)
    ids = [generator.randrange(3, 300) for _ in range(5_000)]
    labels = [-100] * 4_980 + ids[4_980:]
    (found,) = measure(model, [Tokenized(ids, labels, 0, 0, 1)])
    last = one_at_a_time(model, ids[-512:])
    assert (found.answer_tokens, found.answer_nll) == (20, pytest.approx(sum(last[-20:]), rel=1e-5))
    assert found.all_tokens < 512
    (unlabelled,) = measure(model, [Tokenized(ids[:1_000], [-100] * 1_000, 0, 0, 0)])
    assert unlabelled.all_tokens == 999


def test_choices_that_share_a_prompt_are_as_likely_as_each_whole_text(model: Any, tokenizer: ChatTokenizer):
    items = [
        Choices(
            tuple(tokenizer.encode(prompt)), tuple(tuple(tokenizer.encode(text)) for text in ("red", "a blue stone"))
        )
        for prompt in prompts(tokenizer)[:20]
    ]
    whole = [
        Tokenized([*item.prompt, *choice], [-100] * len(item.prompt) + list(choice), 0, 0, len(choice))
        for item in items
        for choice in item.continuations
    ]
    expected = [one.answer_nll for one in measure(model, whole)]
    assert [one for sums in nll(model, items) for one in sums] == pytest.approx(expected, rel=1e-5)


def test_likelihoods_are_told_as_they_come_and_can_be_stopped(
    model: Any, tokenizer: ChatTokenizer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(float32, "multiplies_float32_well", lambda: True)
    items = tokenize_many([read_record(row) for row in tiny_rows(12, seed=2)], tokenizer, None)
    told: list[int] = []
    tokens = sum(len(item.input_ids) for item in items)  # their beginnings are too short to be shared
    measure(model, items, lambda done, total: told.append(done if total == tokens else -1))
    assert told == sorted(told)
    assert 0 < told[0] < told[-1] == tokens

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt(done)

    with pytest.raises(KeyboardInterrupt) as stopped:
        measure(model, items, stop)
    assert stopped.value.args[0] == told[0]
    measure(model, items)  # nobody is told any more
    assert (torch.ones(1, dtype=torch.bfloat16) + 1).dtype == torch.bfloat16  # not widened any more


@pytest.mark.parametrize("window", [None, 64], ids=["shared", "cannot be shared"])
def test_a_shared_beginning_is_told_while_it_is_read_and_counts_once(window: int | None):
    config = AutoConfig.for_model(
        "mistral", vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, sliding_window=window,
    )  # fmt: skip
    torch.manual_seed(0)
    sliding = AutoModelForCausalLM.from_config(config).eval()
    rows = [[7] * 40 + [number] * 5 for number in range(10, 16)]
    told: list[tuple[int, int]] = []
    found = measure(sliding, [Tokenized(ids, ids, 0, 0, 1) for ids in rows], lambda *one: told.append(one))
    tokens = 40 + 6 * 5 if window is None else 6 * 45
    assert told == sorted(told)
    assert {total for _, total in told} == {tokens}
    assert told[-1][0] == tokens
    assert ([done for done, _ in told if done <= 40] == [13, 26, 40]) == (window is None)
    assert [one.all_nll for one in found] == pytest.approx([sum(one_at_a_time(sliding, ids)) for ids in rows], rel=1e-5)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_answers_equal_those_of_transformers_own_greedy_generation(
    model: Any, tokenizer: ChatTokenizer, batch_size: int, monkeypatch: pytest.MonkeyPatch
):
    asked = prompts(tokenizer)
    expected = [own_greedy(model, tokenizer, prompt, 20) for prompt in asked]
    # a random model seldom ends by itself: let a token be an end that about half of the answers hold
    tokens = {token for ids in expected for token in ids}
    end = min(tokens, key=lambda token: abs(sum(token in ids for ids in expected) - len(asked) / 2))
    stops = (*tokenizer.eos_ids, end)
    monkeypatch.setattr(tokenizer, "eos_ids", stops)
    expected = [own_greedy(model, tokenizer, prompt, 20) for prompt in asked]
    found = generate(model, tokenizer, asked, max_new_tokens=20, batch_size=batch_size)
    assert [one.text for one in found] == [tokenizer.decode([t for t in ids if t not in stops]) for ids in expected]
    assert [one.stopped for one in found] == [ids[-1] in stops for ids in expected]
    assert {one.stopped for one in found} == {True, False}


def own_greedy(model: Any, tokenizer: ChatTokenizer, prompt: str, limit: int) -> list[int]:
    ids = torch.tensor([tokenizer.encode(prompt)])
    config = GenerationConfig(
        max_new_tokens=limit, do_sample=False, eos_token_id=list(tokenizer.eos_ids), pad_token_id=0
    )
    out = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)
    return out[0, ids.shape[1] :].tolist()


def test_an_empty_prompt_is_answered_too(model: Any, tokenizer: ChatTokenizer):
    (one,) = generate(model, tokenizer, [""], max_new_tokens=3, batch_size=4)
    assert one.tokens <= 3


def test_no_prompt_has_no_answer(model: Any, tokenizer: ChatTokenizer):
    assert generate(model, tokenizer, [], max_new_tokens=3, batch_size=4) == []
