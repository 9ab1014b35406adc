"""Hosted fine-tuning before anything is uploaded: what is refused, what it costs, what the report says."""

import hashlib
import json
import sys
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faion_finetuner.core.errors import InputError, PathError
from faion_finetuner.core.models.hosted import tokens
from faion_finetuner.core.models.hosted.environment import OWN_BASE_URL
from faion_finetuner.core.models.hosted.providers import provider_at
from faion_finetuner.core.openai_jobs.estimate import auto_epochs
from faion_finetuner.core.openai_jobs.offer import check_model, check_provider, warnings_about
from faion_finetuner.core.openai_jobs.report import report
from faion_finetuner.core.openai_jobs.request import OpenAIRequest, resolve
from faion_finetuner.core.settings import Settings
from faion_finetuner.tools.openai import TOOL
from faion_finetuner.tools.spec import Caller

from tests.openai_jobs.support import carry_out, chat, check_of, failing, pair, write

MINI = "gpt-4.1-mini-2025-04-14"
OPENAI, ELSEWHERE = provider_at(OWN_BASE_URL), provider_at("https://api.example.com/v1")
BEFORE, CLOSED, SHUT = date(2026, 11, 22), date(2027, 1, 6), date(2027, 1, 14)


def asked(settings: Settings, **arguments: Any) -> OpenAIRequest:
    return resolve(OpenAIRequest.model_validate(arguments), settings)


def test_all_problems_of_a_request_are_told_at_once(settings: Settings):
    numbers = {"beta": 0.1}
    with pytest.raises(InputError) as caught:
        asked(settings, action="estimate", data_path="trian.jsonl", hyperparameters=numbers)
    for word in ("beta has no meaning", "needs model", "trian.jsonl"):
        assert word in caught.value.problem


def test_paths_outside_the_roots_missing_files_and_one_file_for_both_are_refused(settings: Settings):
    write(settings, [chat()])
    (settings.roots[0] / "empty").mkdir()
    for arguments, words in (
        ({"data_path": "/etc/hosts"}, "outside"),
        ({"data_path": "trian.jsonl"}, "does not exist"),
        ({"data_path": "empty"}, "no train.jsonl"),
        ({"data_path": "train.jsonl", "validation_path": "train.jsonl"}, "same file"),
    ):
        with pytest.raises(PathError, match=words):
            asked(settings, action="check", **arguments)


def test_the_estimate_is_tokens_times_epochs_times_price(settings: Settings):
    write(settings, (chat(i) for i in range(100)))
    estimate = carry_out(settings, action="estimate", model=MINI, hyperparameters={"epochs": 4}).estimate
    assert estimate is not None
    # 3 messages of 3 + role + text, and 3 for the example; texts count a token per 4 characters, rounded up
    each = 3 + (3 + 2 + 6) + (3 + 1 + 4) + (3 + 3 + 1)
    assert estimate.tokens == 100 * each
    assert estimate.epochs == 4
    assert estimate.usd == pytest.approx(estimate.tokens * 4 * 5.0 / 1e6, abs=1e-4)
    assert estimate.price_as_of == OPENAI.as_of


@pytest.mark.parametrize(
    ("examples", "epochs"), [(0, 3), (3, 25), (10, 10), (33, 3), (34, 3), (8333, 3), (8334, 2), (25_001, 1)]
)
def test_epochs_left_to_the_service_follow_its_rule(examples: int, epochs: int):
    assert auto_epochs(examples) == epochs


def test_a_longer_example_than_the_context_costs_only_what_is_kept(settings: Settings):
    write(settings, [chat(i) for i in range(9)])
    short = carry_out(settings, action="estimate", model=MINI).estimate
    write(settings, [*(chat(i) for i in range(9)), {"messages": [{"role": "user", "content": "x" * 4 * 90_000}]}])
    long = carry_out(settings, action="estimate", model=MINI).estimate
    assert short is not None
    assert long is not None
    assert (long.tokens or 0) - (short.tokens or 0) == 65_536


def test_a_pair_costs_its_prompt_and_both_answers():
    count = {"tokens": 0}

    def one_each(text: str) -> int:
        count["tokens"] += bool(text)
        return 1

    assert tokens.example_tokens(pair(), one_each) == 3 + 3 * (3 + 2)
    assert count["tokens"] == 6


def test_a_model_without_a_price_gives_null_and_says_why(settings: Settings):
    write(settings, (chat(i) for i in range(60)))
    result = carry_out(settings, action="estimate", model="gpt-9")
    assert result.estimate is not None
    assert result.estimate.usd is None
    assert result.estimate.tokens
    assert any("No price is known" in warning for warning in result.warnings)


def test_a_provider_that_the_user_describes_comes_before_the_built_in_ones(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    mine = {"name": "Ours", "hosts": ["*.openai.com"], "as_of": "2026-12-01", "source": "our contract"}
    model = {"name": "llama-8b", "training_usd": 1000.0}
    path = tmp_path / "providers.json"
    path.write_text(json.dumps({"providers": [mine | {"models": [model]}]}))
    monkeypatch.setenv("FAION_FINETUNER_PROVIDERS", str(path))
    write(settings, (chat(i) for i in range(60)))
    result = carry_out(settings, action="estimate", model="llama-8b", hyperparameters={"epochs": 1})
    assert result.provider == "Ours"
    assert result.estimate is not None
    assert result.estimate.usd == pytest.approx((result.estimate.tokens or 0) / 1000)
    assert (result.estimate.price_as_of, result.estimate.price_source) == (date(2026, 12, 1), "our contract")
    assert provider_at("https://api.tokenfactory.nebius.com/v1/").name == "Nebius Token Factory"


@pytest.mark.parametrize("text", [None, "{", '{"providers": [{"name": "x"}]}', '{"gpt-4o": 25}'])
def test_a_providers_file_that_cannot_be_used_is_refused_before_the_run(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None
):
    path = tmp_path / "providers.json"
    if text is not None:
        path.write_text(text)
    monkeypatch.setenv("FAION_FINETUNER_PROVIDERS", str(path))
    write(settings, (chat(i) for i in range(60)))
    with pytest.raises(InputError, match="FAION_FINETUNER_PROVIDERS"):
        asked(settings, action="estimate", data_path="train.jsonl", model=MINI)


def test_too_few_rows_are_priced_and_said_to_be_refused(settings: Settings):
    write(settings, (chat(i) for i in range(3)))
    result = carry_out(settings, action="estimate", model=MINI)
    assert failing(result) == {"Examples"}
    assert result.estimate is not None
    assert result.estimate.epochs == 25
    assert any("would refuse this job as it is, whatever it costs" in warning for warning in result.warnings)
    assert report(result).headline.startswith("The service would refuse this: 1 check fails (Examples). Training would")


def test_a_cost_above_the_limit_is_warned_of(settings: Settings):
    write(settings, (chat(i) for i in range(60)))
    for limit, warned in ((0.0001, True), (5.0, False)):
        result = carry_out(settings, action="estimate", model=MINI, max_cost_usd=limit)
        assert any("above max_cost_usd" in warning for warning in result.warnings) is warned


def test_reinforcement_is_not_priced_by_tokens(settings: Settings):
    write(settings, [{"messages": [{"role": "user", "content": "?"}]}] * 10)
    result = carry_out(settings, action="estimate", method="reinforcement", model="o4-mini-2025-04-16")
    assert result.estimate is not None
    assert (result.estimate.tokens, result.estimate.usd) == (None, None)
    assert any("by the hour" in warning for warning in result.warnings)


SAME = {"type": "string_check", "name": "same", "input": "{{sample.output_text}}", "operation": "eq"}


@pytest.mark.parametrize(
    ("grader", "status", "words"),
    [
        (SAME | {"reference": "{{item.answer}}"}, "pass", "string_check"),
        (SAME, "fail", "grader lacks reference"),
        ({"type": "multi", "name": "m", "graders": [SAME], "calculate_output": "x"}, "fail", "[«0»] lacks reference"),
        ({"type": "newer"}, "warn", "«newer» is not known here"),
        ({"name": "x"}, "fail", "grader lacks type"),
        ("same", "fail", "grader is no object"),
        (None, "warn", "none is given"),
    ],
)
def test_a_grader_is_held_against_what_its_type_needs(settings: Settings, grader: Any, status: str, words: str):
    write(settings, [{"messages": [{"role": "user", "content": "?"}], "answer": "4"}] * 10)
    result = carry_out(settings, method="reinforcement", hyperparameters={"extra": {"grader": grader}})
    found = check_of(result, "Grader")
    assert found.status == status
    assert words in found.details


def test_rows_without_what_the_grader_takes_from_them_are_named(settings: Settings):
    rows = [{"messages": [{"role": "user", "content": "?"}], "answer": "4"} for _ in range(10)]
    del rows[6]["answer"]
    write(settings, rows)
    grader = SAME | {"reference": "{{ item.answer }}"}
    result = carry_out(settings, method="reinforcement", hyperparameters={"extra": {"grader": grader}})
    found = check_of(result, "Grader Fields")
    assert (found.status, found.count) == ("fail", 1)
    assert "train.jsonl:7 lacks answer" in found.details


def test_tokens_are_exact_only_when_the_encoding_is_on_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def encode(text: str, disallowed_special: tuple[str, ...]) -> list[str]:
        return text.split()

    fake = SimpleNamespace(get_encoding=lambda name: SimpleNamespace(encode=encode))
    monkeypatch.setitem(sys.modules, "tiktoken", fake)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    guessed = tokens.token_counter()
    assert "not in its cache" in (guessed.estimated_because or "")
    assert guessed.count("one two three") == 4
    (tmp_path / hashlib.sha1(tokens.ENCODING_URL.encode()).hexdigest()).touch()
    exact = tokens.token_counter()
    assert exact.estimated_because is None
    assert exact.count("one two three") == 3


def test_counts_without_the_tokenizer_are_called_estimates(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    write(settings, (chat(i) for i in range(60)))
    assert any("Tokens are estimates" in warning for warning in carry_out(settings).warnings)


@pytest.mark.parametrize(
    ("model", "method", "today", "status", "words"),
    [
        (MINI, "supervised", BEFORE, "pass", "2027-01-14"),
        ("ft:gpt-4.1-mini-2025-04-14:acme::abc", "supervised", BEFORE, "pass", MINI),
        ("gpt-4.1-mini", "supervised", BEFORE, "fail", "alias"),
        ("gpt-6-luna", "supervised", BEFORE, "warn", "not known to be trainable"),
        ("gpt-4o-2024-08-06", "dpo", BEFORE, "warn", "not listed for dpo"),
        ("gpt-4.1-nano-2025-04-14", "supervised", BEFORE, "fail", "shut down on 2026-10-23"),
        (MINI, "supervised", SHUT, "fail", "shut down on 2027-01-14"),
    ],
)
def test_a_model_is_held_against_what_is_offered(model: str, method: Any, today: date, status: str, words: str):
    found = check_model(model, method, OPENAI, today)
    assert found.status == status
    assert words in found.details
    assert (found.next_step is None) == (status == "pass")


def test_of_an_unknown_provider_nothing_is_claimed(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    assert check_model("llama-8b", "supervised", ELSEWHERE, BEFORE).status == "pass"
    assert warnings_about(ELSEWHERE, "https://api.example.com/v1", BEFORE) == ()
    monkeypatch.setenv("OPENAI_BASE_URL", "https://user:secret@api.example.com/v1")
    write(settings, [chat(i) for i in range(5)])
    result = carry_out(settings, model="llama-8b")
    assert failing(result) == set()
    assert "limits, models and prices are unknown" in check_of(result, "Provider").details
    assert "secret" not in result.model_dump_json()


def test_an_address_without_tls_is_warned_of_unless_it_is_this_machine():
    assert any("without TLS" in text for text in warnings_about(ELSEWHERE, "http://10.0.0.7:4000/v1", BEFORE))
    assert warnings_about(ELSEWHERE, "http://127.0.0.1:4000/v1", BEFORE) == ()


def test_the_end_of_hosted_training_is_told_before_and_after_it_came():
    assert any("no new jobs from 2027-01-06" in text for text in warnings_about(OPENAI, OWN_BASE_URL, BEFORE))
    assert check_provider(OPENAI, "supervised", BEFORE).status == "pass"
    closed = check_provider(OPENAI, "supervised", CLOSED)
    assert closed.status == "fail"
    assert "no new fine-tuning jobs since 2027-01-06" in closed.details


def test_the_report_says_first_whether_the_service_would_take_the_data(settings: Settings):
    write(settings, (chat(i) for i in range(60)))
    good = report(carry_out(settings, action="estimate", model=MINI))
    assert good.title == "OpenAI Fine-tuning Report"
    assert good.headline.startswith("The data keeps all of the service's rules. Training would cost ")
    for section in ("# OpenAI Fine-tuning Report", "## Checks", "## Estimate", "## Warnings"):
        assert f"\n{section}\n" in f"\n{good.markdown}\n"
    write(settings, (chat(i, note=1) for i in range(60)))
    bad = report(carry_out(settings))
    assert bad.headline == "The service would refuse this: 1 check fails (Line Keys)."
    assert "- **Line Keys**: Delete these keys" in bad.markdown


@pytest.mark.anyio
async def test_the_tool_answers_offline_without_a_key_and_leaves_only_the_report(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    secret = "sk-test-0123456789abcdef"
    monkeypatch.setenv("OPENAI_API_KEY", secret)
    write(settings, (chat(i) for i in range(60)))
    given = {"action": "check", "data_path": "train.jsonl", "model": MINI}
    reply = await TOOL.call(TOOL.input.model_validate(given), Caller(settings, given))
    assert reply.status == "succeeded", reply.error
    assert reply.result is not None
    assert reply.result.estimate is None
    assert check_of(reply.result, "Model").status == "pass"
    assert [step.tool for step in reply.next_steps] == ["openai", "train"]
    assert reply.next_steps[0].arguments["action"] == "estimate"
    output = settings.roots[0] / "openai"
    assert {path.name for path in output.iterdir()} == {".run", "report.md", "report.html"}
    assert not any(secret in path.read_text() for path in output.rglob("*") if path.is_file())


@pytest.mark.anyio
async def test_a_mended_file_can_be_checked_again_into_the_same_folder(settings: Settings):
    given = {"action": "check", "data_path": "train.jsonl"}
    tools = []
    for records in ([chat(i, note=1) for i in range(60)], ["{oops"] * 60, [chat(i) for i in range(60)]):
        write(settings, records)
        reply = await TOOL.call(TOOL.input.model_validate(given), Caller(settings, given))
        assert reply.status == "succeeded", reply.error
        tools.append([step.tool for step in reply.next_steps])
    assert tools == [["openai"], ["prepare"], ["openai", "train"]]
