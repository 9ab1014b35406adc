"""Hosted models in an evaluation: asked alike, paid for once, compared like any other pair by what they answer."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faion_finetuner.core.errors import FinetunerError, InputError, RemoteError
from faion_finetuner.core.evaluate.hosted import letters
from faion_finetuner.core.evaluate.mode import MODE
from faion_finetuner.core.evaluate.probes.questions import all_probes, count
from faion_finetuner.core.evaluate.reporting.report import report
from faion_finetuner.core.evaluate.request import EvaluateRequest, resolve
from faion_finetuner.core.evaluate.result import EvaluateResult
from faion_finetuner.core.runs.launch import request_key
from faion_finetuner.core.settings import Settings
from faion_finetuner.tools.evaluate import next_steps

from tests.evaluate.finished import Evaluations
from tests.evaluate.hosted_pair import BASE, COLOURS, ROWS, TUNED, held_out, number_of, said, well
from tests.openai_jobs.stand_in import KEY, Fault, StandIn

PROBES = count()
CHAT = "POST /v1/chat/completions"
Evaluate = Callable[..., EvaluateResult]


@pytest.fixture
def evaluate(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Evaluate:
    data = held_out(settings.roots[0] / "held.jsonl")
    evaluations = Evaluations(settings, settings.roots[0])

    def run(**changed: Any) -> EvaluateResult:
        asked = {"model_name": f"openai:{BASE}", "finetuned_path": f"openai:{TUNED}", "data_path": data} | changed
        folder = evaluations.finish("out", **asked)
        assert not any(KEY.encode() in path.read_bytes() for path in settings.roots[0].rglob("*") if path.is_file())
        return EvaluateResult.model_validate_json(folder.result_path.read_bytes())

    return run


def details(result: EvaluateResult, name: str) -> str:
    return next(check.details for check in result.checks if check.name == name)


def test_a_hosted_pair_is_compared_row_by_row_by_its_answers(provider: StandIn, evaluate: Evaluate):
    result = evaluate(samples=2)
    row = next(row for row in result.scores if row.metric == "accuracy")
    assert (row.base, row.finetuned, row.n, row.verdict) == (pytest.approx(1 / 3), 1.0, ROWS, "improved")
    assert row.ci95 is not None
    assert (row.p_value or 1) < 0.001
    assert result.verdict == "improved"
    assert (result.perplexity, result.loss, result.perplexity_all_tokens) == (None, None, None)
    assert "do not tell how likely" in details(result, "likelihoods")
    assert [row.status for row in result.regression].count(None) == 0
    assert len(result.samples) >= 2
    assert len((Path(result.samples_path or "")).read_text().splitlines()) == ROWS
    assert "merge" not in " ".join(result.recommendations)
    assert any(TUNED in text for text in result.recommendations)


def test_a_gain_on_every_row_is_told_with_an_interval_and_no_change_with_the_reason_for_none(
    provider: StandIn, evaluate: Evaluate
):
    def opposite(asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return well(asked) if asked["model"] == TUNED else said(COLOURS[((number_of(asked) or 0) + 1) % 3])

    provider.chat = opposite
    result = evaluate()
    for row in result.scores:
        assert row.delta == 1
        assert row.ci95 is not None
        assert row.ci95.low < 0.95 < row.ci95.high == 1
    assert "without an interval" not in report(result).markdown
    provider.chat = lambda asked: well(asked | {"model": BASE})
    folder = Path(result.samples_path or "").parent
    for path in folder.rglob("asked-*"):
        path.unlink()
    same = evaluate()
    macro = next(row for row in same.scores if row.metric == "f1")
    assert (macro.delta, macro.ci95) == (0, None)
    assert "A difference without an interval (n/a) is not certain" in report(same).markdown


def test_both_models_get_the_same_prompts_in_the_same_manner(provider: StandIn, evaluate: Evaluate):
    result = evaluate()
    sent: dict[str, set[str]] = {BASE: set(), TUNED: set()}
    for body in provider.bodies:
        assert (body.pop("temperature"), body.pop("max_tokens")) == (0, result.max_new_tokens)
        sent[body.pop("model")].add(json.dumps(body))
    assert sent[BASE] == sent[TUNED]
    assert len(sent[BASE]) == 1 + ROWS + PROBES
    assert f"{2 * (ROWS + PROBES)} requests" in details(result, "requests")
    tokens = (2 + 2 * (ROWS + PROBES)) * 10  # each is heard once before; half as many, at twice the price, written
    assert f"{tokens:,} tokens read and {tokens // 2:,} written, about ${tokens * 2 / 1e6:.6f}" in details(
        result, "requests"
    )


def test_a_choice_is_read_from_its_letter_or_its_text_and_from_nothing_else():
    probes = [probe for _, probe in all_probes()]
    texts = [body["messages"][0]["content"] for body in letters.conversations()]
    lines = [
        next(line for line in text.splitlines() if line[3:] == probe.right)
        for text, probe in zip(texts, probes, strict=True)
    ]
    assert {line[0] for line in lines} == set("ABCD")  # the right one has no place of its own
    for right in (
        [line[0] for line in lines],
        [f"({line[0]}) because" for line in lines],
        [f"Answer: {line[0].lower()}" for line in lines],
        [probe.right for probe in probes],
    ):
        assert all(one.right for one in letters.graded(right))
    for wrong in ([line[0].translate(str.maketrans("ABCD", "BCDA")) for line in lines], ["I do not know."] * count()):
        assert not any(one.right for one in letters.graded(wrong))


def test_only_what_the_interface_knows_is_sent(provider: StandIn, evaluate: Evaluate, settings: Settings):
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    turns = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Which?"},
        {"role": "assistant", "content": "", "tool_calls": [call], "weight": 0},
        {"role": "tool", "content": "red", "tool_call_id": "c1"},
        {"role": "assistant", "content": "red"},
    ]
    tools = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    rows = [{"messages": turns, "tools": tools, "note": 1.10}, {"prompt": "Colour of 3", "completion": "red"}]
    (settings.roots[0] / "held.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    evaluate()
    with_tools = next(body for body in provider.bodies if "tools" in body)
    assert with_tools["tools"] == tools
    assert [turn["role"] for turn in with_tools["messages"]] == ["system", "user", "assistant", "tool"]
    assert with_tools["messages"][2]["tool_calls"] == [call]
    assert "weight" not in with_tools["messages"][2]
    assert {"role": "user", "content": "Colour of 3"} in [body["messages"][0] for body in provider.bodies]


def test_what_one_of_them_does_not_take_neither_is_asked_with(provider: StandIn, evaluate: Evaluate):
    def reasons(asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        for name in ("temperature", "max_tokens"):
            if asked["model"] == TUNED and name in asked:
                return 400, {"error": {"message": f"Unsupported parameter: '{name}'."}}
        return well(asked)

    provider.chat = reasons
    evaluate()
    rows = [body for body in provider.bodies if number_of(body) is not None]
    assert len(rows) == 2 * ROWS
    assert {tuple(sorted(body)) for body in rows} == {("max_completion_tokens", "messages", "model")}


def test_refused_and_cut_answers_are_counted(provider: StandIn, evaluate: Evaluate):
    def mixed(asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        match number_of(asked) if asked["model"] == TUNED else None:
            case 0:
                return said(None, refusal="I cannot help with that.")
            case 1:
                return said("gre", "length")
            case 2:
                return said(None, "content_filter")
            case 3:
                return 400, {"error": {"code": "content_filter", "message": "The prompt is not allowed."}}
            case _:
                return well(asked)

    provider.chat = mixed
    result = evaluate()
    assert result.generation_finetuned is not None
    assert result.generation_base is not None
    assert (result.generation_finetuned.refused, result.generation_finetuned.cut) == (3, 1)
    assert (result.generation_base.refused, result.generation_base.cut) == (0, 0)
    assert "0 by the base and 3 by the fine-tuned model" in details(result, "refusals")
    assert "I cannot help with that." in details(result, "refusals")
    assert "1 of 30 cut, 2 empty, 3 refused" in report(result).markdown


@pytest.mark.parametrize("how", ["cut", "garbage", "html", 500, 408, 429])
def test_passing_faults_cost_no_row(provider: StandIn, evaluate: Evaluate, how: Any):
    provider.faults += [Fault(CHAT, how, headers={"Retry-After": "0"})] * 3
    assert evaluate().verdict == "improved"


def test_a_refusal_ends_the_run_and_a_resumed_one_asks_only_the_rest(provider: StandIn, evaluate: Evaluate):
    def limited(request: str) -> Fault | None:
        return Fault(CHAT, 429, {"code": "insufficient_quota"}) if provider.counted(CHAT) > 50 else None

    provider.on_request = limited
    with pytest.raises(RemoteError, match="quota"):
        evaluate()
    answered = len(provider.bodies)
    provider.on_request = None
    assert evaluate().verdict == "improved"
    again = len(provider.bodies) - answered
    assert again <= 2 + 2 * (ROWS + PROBES) - (answered - 2) + 3  # two to hear, and what was under way


def test_a_model_that_is_not_there_is_told_before_any_row_is_sent(provider: StandIn, evaluate: Evaluate):
    provider.chat = lambda asked: well(asked) if asked["model"] == BASE else (404, {"error": {"message": "no model"}})
    with pytest.raises(RemoteError, match="does not have this"):
        evaluate()
    assert len(provider.bodies) == 2


def test_a_model_that_vanishes_is_no_model_that_refuses(provider: StandIn, evaluate: Evaluate):
    provider.chat = lambda asked: (404, {"error": {"message": "gone"}}) if number_of(asked) == 7 else well(asked)
    with pytest.raises(RemoteError, match="gone"):
        evaluate()


def test_prompts_that_are_all_refused_are_no_result(provider: StandIn, evaluate: Evaluate):
    provider.chat = lambda asked: well(asked) if number_of(asked) is None else (400, {"error": {"message": "too long"}})
    with pytest.raises(RemoteError, match=r"none of the prompts.*too long"):
        evaluate()


def test_a_dry_run_sends_nothing_and_says_what_would_leave_and_cost(
    provider: StandIn, evaluate: Evaluate, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("OPENAI_API_KEY")
    result = evaluate(dry_run=True)
    assert provider.requests == []
    assert result.plan is not None
    assert (result.plan.rows, result.plan.memory_bytes) == (ROWS, None)
    read, written = result.plan.scored_tokens, result.plan.generated_tokens
    assert written == 2 * (ROWS + PROBES) * (result.max_new_tokens or 0)
    assert result.plan.usd == pytest.approx((read * 1.0 + written * 2.0) / 1e6, abs=1e-4)
    assert f"{2 * (ROWS + PROBES)} requests to 127.0.0.1" in details(result, "requests")
    assert f"{ROWS} rows go to 127.0.0.1" in details(result, "leaving")
    assert "no personal data and no secrets" in details(result, "leaving")
    assert "Cost, at most" in report(result).markdown


def test_personal_data_in_the_prompts_is_told_before_it_leaves(
    provider: StandIn, evaluate: Evaluate, settings: Settings
):
    data = settings.roots[0] / "held.jsonl"
    data.write_text(data.read_text().replace('Colour of 3"', 'Colour of jane.doe@example.org 3"'))
    result = evaluate(dry_run=True)
    check = next(check for check in result.checks if check.name == "leaving")
    assert (check.status, check.count) == ("warn", 1)
    assert "1 email" in check.details


def test_an_unknown_price_is_said_to_be_unknown(provider: StandIn, evaluate: Evaluate):
    result = evaluate(model_name="openai:other-1", finetuned_path="openai:other-2", dry_run=True)
    assert result.plan is not None
    assert result.plan.usd is None
    assert "price that is not known" in details(result, "requests")


def test_a_judge_gets_the_answers_of_a_hosted_pair(provider: StandIn, evaluate: Evaluate):
    result = evaluate(judge="assistant", judge_pairs=9)
    assert result.judging is not None
    assert (result.judging.pairs, result.judging.judged) == (9, 0)


def test_what_comes_next_fits_hosted_models(provider: StandIn, evaluate: Evaluate, tmp_path: Path):
    request = EvaluateRequest(
        model_name=f"openai:{BASE}", finetuned_path=Path(f"openai:{TUNED}"), data_path=tmp_path, output_dir=tmp_path
    )
    result = evaluate()
    better = next_steps(request, result)
    assert [(step.tool, step.arguments["model"]) for step in better] == [("openai", TUNED)]
    worse = next_steps(request, result.model_copy(update={"verdict": "regressed"}))
    assert [(step.arguments["action"], step.arguments["model"]) for step in worse] == [("start", BASE)]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"finetuned_path": f"openai:{BASE}"}, "the base itself"),
        ({"finetuned_path": "/somewhere"}, "is a folder, but the base is a hosted model"),
        ({"model_name": "openai:"}, "no model id"),
        ({"metrics": ("perplexity", "loss")}, "no perplexity and no loss"),
        ({"benchmarks": ("mmlu",)}, "need the weights"),
        ({"model_name": "smollm2-135m-instruct"}, "is a hosted model, but the base is not"),
    ],
)
def test_what_hosted_models_cannot_do_is_refused_with_its_reason(
    provider: StandIn, evaluate: Evaluate, changed: dict[str, Any], words: str
):
    with pytest.raises(FinetunerError, match=words):
        evaluate(**changed)
    assert provider.requests == []


def test_a_missing_key_is_told_before_the_run(provider: StandIn, evaluate: Evaluate, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(InputError, match="OPENAI_API_KEY"):
        evaluate()


def test_only_a_worker_that_asks_gets_the_key_and_none_waits_for_the_accelerator(tmp_path: Path):
    asked = EvaluateRequest(model_name=f"openai:{BASE}", data_path=tmp_path, output_dir=tmp_path)
    assert "OPENAI_API_KEY" in MODE.environment(asked)
    assert "OPENAI_API_KEY" not in MODE.environment(asked.model_copy(update={"dry_run": True}))
    assert not MODE.uses_accelerator(asked)
    assert MODE.uses_accelerator(asked.model_copy(update={"model_name": "smollm2-135m-instruct"}))


def test_the_tuned_id_needs_no_prefix_and_another_provider_makes_another_run(
    provider: StandIn, evaluate: Evaluate, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    given = {"model_name": f"openai:{BASE}", "data_path": settings.roots[0] / "held.jsonl", "output_dir": Path("o")}
    bare, full = (
        resolve(EvaluateRequest.model_validate(given | {"finetuned_path": name}), settings)
        for name in (TUNED, f"openai:{TUNED}")
    )
    assert bare == full
    here = request_key(MODE, bare)
    assert request_key(MODE, full) == here
    monkeypatch.setenv("OPENAI_BASE_URL", "https://api.example.com/v1")
    assert request_key(MODE, bare) != here
