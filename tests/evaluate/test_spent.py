"""What asking models over the network took, as their answers tell it: the judge's part, and that of hosted models."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from faion_finetuner.core.errors import RemoteError
from faion_finetuner.core.evaluate.reporting.report import report
from faion_finetuner.core.evaluate.result import EvaluateResult, Spent
from faion_finetuner.core.runs.record import RunFolder
from faion_finetuner.core.settings import Settings

from tests.evaluate.finished import Evaluations
from tests.evaluate.hosted_pair import BASE, TUNED, held_out, said, well
from tests.openai_jobs.stand_in import Answer, Fault, StandIn

CHAT = "POST /v1/chat/completions"
PAIRS = 6
CALL_USD = (10 * 1.0 + 5 * 2.0) / 1e6  # each answer tells of 10 tokens read and 5 written
Evaluate = Callable[..., RunFolder]


@pytest.fixture
def evaluate(settings: Settings, evaluations: Evaluations, provider: StandIn) -> Evaluate:
    """A hosted pair, whose answers the base itself judges."""
    asked = {
        "model_name": f"openai:{BASE}",
        "finetuned_path": f"openai:{TUNED}",
        "data_path": held_out(settings.roots[0] / "held.jsonl"),
        "judge": "endpoint",
        "judge_model": BASE,
        "judge_pairs": PAIRS,
    }
    provider.chat = judging
    return lambda **changed: evaluations.finish("out", **asked | changed)


def is_for_the_judge(asked: dict[str, Any]) -> bool:
    return "answer_A" in asked["messages"][-1]["content"]


def judging(asked: dict[str, Any]) -> Answer:
    return said("Verdict: A") if is_for_the_judge(asked) else well(asked)


def telling(usage: Any) -> Callable[[dict[str, Any]], Answer]:
    """Answers with this usage; without any for None."""

    def answer(asked: dict[str, Any]) -> Answer:
        status, whole = judging(asked)
        del whole["usage"]
        return status, whole | ({} if usage is None else {"usage": usage})

    return answer


def result_of(folder: RunFolder) -> EvaluateResult:
    return EvaluateResult.model_validate_json(folder.result_path.read_bytes())


def spent_of(result: EvaluateResult) -> tuple[Spent, Spent]:
    """By the judge, and by the models."""
    assert result.judging is not None
    assert result.judging.spent is not None
    assert result.spent is not None
    return result.judging.spent, result.spent


def details(result: EvaluateResult) -> str:
    return next(check.details for check in result.checks if check.name == "requests")


@pytest.mark.anyio
async def test_tokens_and_dollars_of_the_judge_and_of_the_models_are_told_apart(
    provider: StandIn, evaluate: Evaluate, evaluations: Evaluations
):
    folder = evaluate()
    result = result_of(folder)
    judge, models = spent_of(result)
    assert judge.calls == 1 + sum(map(is_for_the_judge, provider.bodies))  # one to hear whether it is there
    assert judge.calls + models.calls == len(provider.bodies)
    for spent in (judge, models):
        assert (spent.unreported, spent.read_tokens, spent.written_tokens) == (0, 10 * spent.calls, 5 * spent.calls)
        assert spent.usd == pytest.approx(CALL_USD * spent.calls)
        assert str(spent.price_as_of) == "2026-11-22"
    words = "calls, trials, repeats and earlier attempts included:"
    prices = "by the prices of 2026-11-22 for tuned models."
    told = f"The judge took {judge.calls} {words} {10 * judge.calls} tokens read and {5 * judge.calls} written, about "
    assert f"{told}${judge.usd:.6f} {prices}" in report(result).markdown
    assert "calls at most" not in report(result).markdown  # of the estimate, which is for dry runs
    assert f"took {models.calls} {words} {10 * models.calls:,} tokens read" in details(result)
    reply = await evaluations.runs(action="judge", run_id=folder.run_id, verdicts={"1": "A", str(PAIRS): "B"})
    assert reply.mode in ("runs", "evaluate")
    after = result_of(folder)
    assert after.judging is not None
    assert len(after.judging.details.raters) == 2
    assert spent_of(after) == (judge, models)


@pytest.mark.parametrize(
    "usage", [None, {"prompt_tokens": 0, "completion_tokens": 0}, {"prompt_tokens": 10, "total_tokens": 15}, "much"]
)
def test_what_no_answer_tells_is_not_known_and_never_nought(provider: StandIn, evaluate: Evaluate, usage: Any):
    provider.chat = telling(usage)
    result = result_of(evaluate())
    for spent in spent_of(result):
        assert spent.unreported == spent.calls > 0
        assert (spent.read_tokens, spent.written_tokens, spent.usd, spent.price_as_of) == (None, None, None, None)
    unknown = "none told its tokens, so neither they nor the cost are known."
    assert report(result).markdown.count(unknown) == 2
    assert f"{unknown} The length of an answer without such a number is " in details(result)


def test_an_answer_that_came_to_nothing_counts_and_a_lost_one_makes_the_sum_a_least_one(
    provider: StandIn, evaluate: Evaluate
):
    turn = itertools.count()

    def stumbling(asked: dict[str, Any]) -> Answer:
        fruitless = is_for_the_judge(asked) and next(turn) < 2
        return (200, said("")[1] | {"choices": []}) if fruitless else judging(asked)

    provider.chat = stumbling
    provider.faults += [
        Fault(CHAT, 429, headers={"Retry-After": "0"}), Fault(CHAT, "cut"), Fault(CHAT, 500), Fault(CHAT, "garbage"),
    ]  # fmt: skip
    result = result_of(evaluate())
    judge, models = spent_of(result)
    assert judge.calls + models.calls == provider.counted(CHAT) - 1  # the provider was too busy for one
    assert judge.unreported + models.unreported == 3
    told = judge.calls + models.calls - 3
    assert (judge.read_tokens or 0) + (models.read_tokens or 0) == 10 * told
    assert (judge.usd or 0) + (models.usd or 0) == pytest.approx(CALL_USD * told)
    assert "at least $" in report(result).markdown
    assert "of the calls failed or did not tell their tokens." in report(result).markdown


def test_what_an_earlier_attempt_of_the_run_paid_is_counted(provider: StandIn, evaluate: Evaluate):
    turn = itertools.count()

    def short_of_money(asked: dict[str, Any]) -> Answer:
        if not is_for_the_judge(asked):
            return well(asked)
        match next(turn):
            case 0:
                return said("I would rather not say.")
            case 1 | 2 | 3:
                return said("Verdict: A")
            case _:
                return 402, {"error": {"message": "enough"}}

    provider.chat = short_of_money
    with pytest.raises(RemoteError, match="enough"):
        evaluate()
    refused = sum(map(is_for_the_judge, provider.bodies)) - 4
    provider.chat = judging
    judge, models = spent_of(result_of(evaluate()))
    assert judge.calls + models.calls == len(provider.bodies) - refused
    assert judge.calls == 2 + sum(map(is_for_the_judge, provider.bodies)) - refused  # each attempt hears it once
    for spent in (judge, models):
        assert (spent.unreported, spent.read_tokens) == (0, 10 * spent.calls)


def test_tokens_without_a_price_are_told_with_an_unknown_cost(provider: StandIn, evaluate: Evaluate):
    result = result_of(evaluate(judge_model="other-1"))
    judge, models = spent_of(result)
    assert (judge.read_tokens, judge.usd, judge.price_as_of) == (10 * judge.calls, None, None)
    assert models.usd is not None
    assert f"{5 * judge.calls} written, at a price that is not known here." in report(result).markdown
