"""What follows evaluations of hosted models: several in one table, and blind judging, by people or by a model."""

import json
from pathlib import Path
from typing import Any

import pytest
from faion_finetuner.core.evaluate.judging.pairs import read_docket
from faion_finetuner.core.evaluate.reporting.report import report
from faion_finetuner.core.evaluate.result import EvaluateResult
from faion_finetuner.core.runs.record import RunFolder
from faion_finetuner.core.settings import Settings

from tests.evaluate.finished import Evaluations
from tests.evaluate.hosted_pair import BASE, ROWS, TUNED, held_out, number_of, said, well
from tests.openai_jobs.stand_in import StandIn

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]
OTHER = "ft:tiny-1:acme::2"


@pytest.fixture
def arguments(settings: Settings) -> dict[str, Any]:
    data = held_out(settings.roots[0] / "held.jsonl")
    return {"model_name": f"openai:{BASE}", "finetuned_path": f"openai:{TUNED}", "data_path": data}


def two_of_three(asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """As `well`, and another tuned model that knows no blue."""
    if asked["model"] != OTHER:
        return well(asked)
    return said("red") if (number_of(asked) or 0) % 3 == 2 else well(asked | {"model": TUNED})


def result_of(folder: RunFolder) -> EvaluateResult:
    return EvaluateResult.model_validate_json(folder.result_path.read_bytes())


async def test_two_hosted_models_of_one_base_stand_in_one_table(
    provider: StandIn, evaluations: Evaluations, arguments: dict[str, Any]
):
    provider.chat = two_of_three
    one = evaluations.finish("one", **arguments)
    two = evaluations.finish("two", **arguments | {"finetuned_path": f"openai:{OTHER}"})
    reply = await evaluations.runs(action="compare", run_ids=[one.run_id, two.run_id])
    rows = {row["metric"]: row for row in reply.result.scores}
    assert rows.keys() == {"accuracy", "f1"}
    accuracy = rows["accuracy"]
    assert accuracy["finetuned"] == (1.0, pytest.approx(2 / 3))
    assert (accuracy["base"], accuracy["n"]) == (pytest.approx(1 / 3), ROWS)
    assert (accuracy["best"], accuracy["proven"]) == (one.run_id, True)
    assert f"{one.run_id} is better" in reply.report_markdown
    assert "33.3%" in reply.report_markdown


async def test_a_base_that_answers_otherwise_the_second_time_is_told(
    provider: StandIn, evaluations: Evaluations, arguments: dict[str, Any]
):
    one = evaluations.finish("one", **arguments)
    provider.chat = lambda asked: said("green") if asked["model"] == BASE and number_of(asked) == 1 else well(asked)
    two = evaluations.finish("two", **arguments)
    reply = await evaluations.runs(action="compare", run_ids=[one.run_id, two.run_id])
    assert {row["base"] for row in reply.result.scores} == {None}
    assert "no base is shown: the runs had different bases, or a hosted one did not answer alike" in (
        reply.report_markdown
    )


async def test_a_hosted_and_a_local_model_have_no_prompt_in_common_and_say_so(
    provider: StandIn, evaluations: Evaluations, arguments: dict[str, Any], base_folder: Path, adapter_folder: Path
):
    one = evaluations.finish("one", **arguments)
    local = arguments | {"model_name": str(base_folder), "finetuned_path": adapter_folder}
    two = evaluations.finish("two", **local)
    reply = await evaluations.runs(action="compare", run_ids=[one.run_id, two.run_id])
    assert reply.result.scores is None
    assert "no item in common" in reply.report_markdown
    assert len(reply.result.comparison) == 2


async def test_while_judging_goes_on_nothing_quotes_an_answer(
    provider: StandIn, evaluations: Evaluations, arguments: dict[str, Any]
):
    words = "I would rather not name that colour."

    def refusing(asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if asked["model"] == TUNED and (number_of(asked) or 0) > 20:
            return said(None, refusal=words)
        return well(asked)

    provider.chat = refusing
    folder = evaluations.finish("out", judge="assistant", judge_pairs=12, **arguments)
    for place in (folder.result_path, folder.report_path):
        assert "fine-tuned model were refused" in place.read_text()
        assert words not in place.read_text()
    reply = await evaluations.runs(action="judge", run_id=folder.run_id)
    while reply.mode == "runs":
        verdicts = dict.fromkeys((pair["pair"] for pair in reply.result.pairs), "tie")
        reply = await evaluations.runs(action="judge", run_id=folder.run_id, verdicts=verdicts)
    assert words in folder.result_path.read_text()
    assert words in folder.report_path.read_text()


async def test_votes_that_were_kept_while_the_report_was_not_are_told_by_the_next_call(
    provider: StandIn, evaluations: Evaluations, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    folder = evaluations.finish("out", judge="assistant", judge_pairs=4, **arguments)
    reply = await evaluations.runs(action="judge", run_id=folder.run_id)
    count = len(reply.result.pairs)
    verdicts = {str(number): "tie" for number in range(1, 2 * count + 1)}
    with monkeypatch.context() as patch:
        patch.setattr("faion_finetuner.core.evaluate.judging.blind.settle", killed)
        with pytest.raises(RuntimeError, match="killed"):
            await evaluations.runs(action="judge", run_id=folder.run_id, verdicts=verdicts)
    kept = result_of(folder).judging
    assert kept is not None
    assert kept.judged < 4
    reply = await evaluations.runs(action="judge", run_id=folder.run_id)
    assert (reply.mode, reply.result.judging.judged) == ("evaluate", 4)


async def test_what_was_answered_and_judged_before_the_rows_changed_is_not_taken_for_them(
    provider: StandIn, evaluations: Evaluations, arguments: dict[str, Any]
):
    provider.chat = lambda asked: said("Verdict: A") if "answer_A" in asked["messages"][-1]["content"] else well(asked)
    given = arguments | {"judge": "endpoint", "judge_model": BASE, "judge_pairs": 6}
    before = result_of(evaluations.finish("out", **given))
    rows = arguments["data_path"].read_text().splitlines()
    arguments["data_path"].write_text("".join(f"{row}\n" for row in reversed(rows)))
    asked = len(provider.bodies)
    after = result_of(evaluations.finish("out", **given))
    assert [(row.base, row.finetuned) for row in after.scores] == [(row.base, row.finetuned) for row in before.scores]
    assert sum(number_of(body) is not None for body in provider.bodies[asked:]) == 2 * ROWS
    judged = sum("answer_A" in body["messages"][-1]["content"] for body in provider.bodies[asked:])
    assert judged == 2 * len(read_docket(Path(after.samples_path or "").parent / ".run" / "evaluate-out").pairs) > 0


def killed(*_: object) -> None:
    raise RuntimeError("killed")


def test_a_dry_run_asks_no_judge_and_says_what_it_would_cost(
    provider: StandIn, evaluations: Evaluations, arguments: dict[str, Any], base_folder: Path, adapter_folder: Path
):
    judged = {"judge": "endpoint", "judge_pairs": 5, "dry_run": True}
    plain = result_of(evaluations.finish("plain", dry_run=True, **arguments)).plan
    priced = result_of(evaluations.finish("priced", judge_model=BASE, **judged, **arguments))
    unknown = result_of(evaluations.finish("unknown", **judged, **arguments))
    local = arguments | {"model_name": str(base_folder), "finetuned_path": adapter_folder}
    here = result_of(evaluations.finish("here", judge_model=BASE, **judged, **local))
    assert provider.requests == []
    assert plain is not None
    assert priced.plan is not None
    assert unknown.plan is not None
    assert here.plan is not None
    check = next(one for one in priced.checks if one.name == "judge")
    assert check.count == 10
    numbers = [int(word.replace(",", "")) for word in check.details.split() if word.replace(",", "").isdigit()]
    read, written = numbers[1:3]
    cost = (read * 1.0 + written * 2.0) / 1e6
    assert priced.plan.usd == pytest.approx((plain.usd or 0) + cost, abs=2e-4)
    assert here.plan.usd == pytest.approx(cost, rel=0.9)
    assert "Cost, roughly, judge included | $" in report(here).markdown
    assert unknown.plan.usd is None
    assert "at a price that is not known" in next(one for one in unknown.checks if one.name == "judge").details


def test_tokens_that_are_estimated_are_not_too_few_for_any_script(
    provider: StandIn, evaluations: Evaluations, arguments: dict[str, Any]
):
    data = arguments["data_path"]
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    for number, row in enumerate(rows):
        row["messages"][0]["content"] = f"{number}: " + "猫は何色ですか" * 100  # 700 characters, about as many tokens
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = result_of(evaluations.finish("out", dry_run=True, **arguments))
    assert result.plan is not None
    assert result.plan.scored_tokens > 2 * ROWS * 600
    assert "estimated from letters" in next(one for one in result.checks if one.name == "requests").details
