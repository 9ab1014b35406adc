"""Blind judging of an evaluation's answers, through the tool that an assistant calls."""

import json
from pathlib import Path
from typing import Any

import pytest
from faion_finetuner.core.errors import InputError
from faion_finetuner.core.evaluate.judging.pairs import read_docket
from faion_finetuner.core.evaluate.request import EvaluateRequest, resolve
from faion_finetuner.core.evaluate.result import EvaluateResult
from faion_finetuner.core.runs.record import RunFolder
from faion_finetuner.tools.evaluate import next_steps

from tests.evaluate.finished import Evaluations

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]
PAIRS = 12


@pytest.fixture
def evaluations(evaluations: Evaluations, monkeypatch: pytest.MonkeyPatch) -> Evaluations:
    evaluations.make_legible(monkeypatch)
    return evaluations


@pytest.fixture
def arguments(base_folder: Path, adapter_folder: Path, prepared: Path) -> dict[str, Any]:
    return {
        "model_name": str(base_folder),
        "finetuned_path": adapter_folder,
        "data_path": prepared,
        "metrics": ("exact_match",),
        "judge_pairs": PAIRS,
    }


def result_of(folder: RunFolder) -> EvaluateResult:
    return EvaluateResult.model_validate_json(folder.result_path.read_bytes())


def favours_finetuned(folder: RunFolder, pair: str) -> str:
    """The verdict of somebody who peeked: always the fine-tuned model's answer."""
    showing = next(one for one in read_docket(folder.path).showings if one.id == pair)
    return "A" if showing.finetuned_first else "B"


async def test_the_assistant_judges_page_by_page_and_the_result_holds_what_it_found(
    evaluations: Evaluations, arguments: dict[str, Any]
):
    folder = evaluations.finish("out", judge="assistant", **arguments)
    before = result_of(folder)
    assert before.judging is not None
    assert (before.judging.pairs, before.judging.judged, before.samples) == (PAIRS, 0, ())
    assert '"action": "judge"' in before.recommendations[1]
    reply = await evaluations.runs(action="judge", run_id=folder.run_id)
    pages = 0
    while reply.mode == "runs":
        pages += 1
        assert "«" not in reply.report_markdown.split("## Pair")[0]
        verdicts = {pair["pair"]: favours_finetuned(folder, pair["pair"]) for pair in reply.result.pairs}
        reply = await evaluations.runs(action="judge", run_id=folder.run_id, verdicts=verdicts)
    assert pages >= 4
    judging = reply.result.judging
    assert (judging.judged, judging.wins, judging.losses, judging.position_flips) == (PAIRS, PAIRS, 0, 0)
    assert (judging.win_rate, judging.details.first_won, judging.verdict) == (1.0, 0.5, "improved")
    assert judging.p_value == pytest.approx(2 * 0.5**PAIRS)
    assert len(reply.result.samples) == 5
    assert "won 100%" in reply.report_markdown
    for report in (folder.report_path, folder.path.parents[1] / "report.md"):
        assert "### Blind Comparison of Answers" in report.read_text()
    assert "Blind judging" in folder.status().headline


async def test_a_copied_evaluation_writes_its_judged_report_beside_itself(
    evaluations: Evaluations, arguments: dict[str, Any], tmp_path: Path
):
    folder = evaluations.finish("out", judge="assistant", **arguments)
    (tmp_path / "elsewhere").mkdir()
    record = json.loads(folder.record_path.read_bytes()) | {"output_dir": str(tmp_path / "elsewhere")}
    folder.record_path.write_text(json.dumps(record))
    (folder.path.parents[1] / "report.md").unlink()
    page = await evaluations.runs(action="judge", run_id=folder.run_id)
    verdicts = {pair["pair"]: "A" for pair in page.result.pairs}
    await evaluations.runs(action="judge", run_id=folder.run_id, verdicts=verdicts)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert (folder.path.parents[1] / "report.md").is_file()


async def test_no_page_tells_which_model_wrote_what_nor_holds_both_orders_of_a_pair(
    evaluations: Evaluations, arguments: dict[str, Any]
):
    folder = evaluations.finish("out", judge="assistant", **arguments)
    docket = read_docket(folder.path)
    seen: dict[str, set[bool]] = {}
    reply = await evaluations.runs(action="judge", run_id=folder.run_id)
    while reply.mode == "runs":
        showings = [one for one in docket.showings if one.id in {pair["pair"] for pair in reply.result.pairs}]
        assert len({one.pair for one in showings}) == len(showings)
        for one in showings:
            seen.setdefault(str(one.pair), set()).add(one.finetuned_first)
        text = reply.model_dump_json()
        assert "finetuned" not in text
        assert "base" not in text
        verdicts = dict.fromkeys((pair["pair"] for pair in reply.result.pairs), "A")
        reply = await evaluations.runs(action="judge", run_id=folder.run_id, verdicts=verdicts)
    assert all(orders == {True, False} for orders in seen.values())
    judging = reply.result.judging
    assert (judging.wins, judging.ties, judging.losses) == (0, PAIRS, 0)
    assert (judging.position_flips, judging.details.first_won) == (PAIRS, 1.0)
    assert judging.verdict == "no evidence"


async def test_a_wrong_pair_number_is_refused_and_nothing_is_taken(evaluations: Evaluations, arguments: dict[str, Any]):
    folder = evaluations.finish("out", judge="assistant", **arguments)
    with pytest.raises(InputError, match="no pair «99»"):
        await evaluations.runs(action="judge", run_id=folder.run_id, verdicts={"1": "A", "99": "B"})
    with pytest.raises(InputError, match="verdicts"):
        await evaluations.runs(action="judge", run_id=folder.run_id, verdicts={"1": "left"})
    assert not (folder.path / "votes.json").exists()


async def test_the_last_word_on_a_pair_counts(evaluations: Evaluations, arguments: dict[str, Any]):
    folder = evaluations.finish("out", judge="assistant", **arguments)
    for choice in ("A", "tie", "tie"):
        reply = await evaluations.runs(action="judge", run_id=folder.run_id, verdicts={"1": choice})
    assert reply.result.left_out + len(reply.result.pairs) == 2 * PAIRS - 1
    assert "1" not in {pair["pair"] for pair in reply.result.pairs}


async def test_people_vote_in_a_file_and_agree_or_not_with_the_assistant(
    evaluations: Evaluations, arguments: dict[str, Any]
):
    folder = evaluations.finish("out", judge="human", **arguments)
    result = result_of(folder)
    assert result.judging is not None
    page = Path(result.judging.page_path or "")
    assert page.name == "judge.html"
    text = page.read_text()
    assert "finetuned" not in text
    docket = read_docket(folder.path)
    votes = evaluations.settings.roots[0] / "votes"
    votes.mkdir()
    for rater, said in (("Ann", "tie"), ("Ben", None)):
        lines = [
            {
                "run_id": folder.run_id,
                "rater": rater,
                "pair": one.id,
                "choice": said or favours_finetuned(folder, one.id),
                "b_first": False,
            }
            for one in docket.once
        ]
        (votes / f"{rater}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    reply = await evaluations.runs(action="judge", run_id=folder.run_id, votes_path=str(votes))
    judging = reply.result.judging
    assert [(one.name, one.judged, one.win_rate) for one in judging.details.raters] == [
        ("person Ann", PAIRS, 0.5),
        ("person Ben", PAIRS, 1.0),
    ]
    assert (judging.win_rate, judging.wins, judging.position_flips) == (0.75, PAIRS, None)
    assert judging.agreement is not None
    assert judging.agreement < 0.1
    assert len(reply.result.samples) == 5


async def test_votes_on_another_run_or_broken_lines_are_refused_with_their_place(
    evaluations: Evaluations, arguments: dict[str, Any]
):
    folder = evaluations.finish("out", judge="human", **arguments)
    votes = evaluations.settings.roots[0] / "votes.jsonl"
    good = {"run_id": folder.run_id, "rater": "x", "pair": "1", "choice": "A", "b_first": False}
    for bad, says in (
        (json.dumps(good | {"run_id": "evaluate-other"}), "votes.jsonl:2: a vote on run"),
        (json.dumps(good | {"choice": "left"}), "votes.jsonl:2: no vote"),
        ("{", "votes.jsonl:2: no vote"),
        (json.dumps(good | {"pair": "77"}), "votes.jsonl:2: this run has no pair"),
    ):
        votes.write_text(json.dumps(good) + "\n" + bad + "\n")
        with pytest.raises(InputError, match=says):
            await evaluations.runs(action="judge", run_id=folder.run_id, votes_path=str(votes))


async def test_votes_of_two_people_under_one_name_are_refused(evaluations: Evaluations, arguments: dict[str, Any]):
    folder = evaluations.finish("out", judge="human", **arguments)
    votes = evaluations.settings.roots[0] / "votes.jsonl"
    line = {"run_id": folder.run_id, "rater": "Ann", "pair": "1", "choice": "A", "b_first": False}
    votes.write_text(json.dumps(line))
    await evaluations.runs(action="judge", run_id=folder.run_id, votes_path=str(votes))
    votes.write_text(json.dumps(line | {"b_first": True}))
    with pytest.raises(InputError, match="two people under one name"):
        await evaluations.runs(action="judge", run_id=folder.run_id, votes_path=str(votes))
    votes.write_text(json.dumps(line | {"b_first": True, "rater": "Anna"}))
    reply = await evaluations.runs(action="judge", run_id=folder.run_id, votes_path=str(votes))
    assert [one.name for one in reply.result.judging.details.raters] == ["person Ann", "person Anna"]


async def test_a_comment_may_hold_any_line_separator_and_the_file_a_byte_order_mark(
    evaluations: Evaluations, arguments: dict[str, Any]
):
    folder = evaluations.finish("out", judge="human", **arguments)
    votes = evaluations.settings.roots[0] / "votes.jsonl"
    line = {"run_id": folder.run_id, "rater": "Ann", "pair": "1", "choice": "A", "b_first": False}
    text = json.dumps(line | {"comment": "one\u2028two\x85three", "at": 5}, ensure_ascii=False)
    votes.write_bytes(b"\xef\xbb\xbf" + text.encode() + b"\r\n")
    reply = await evaluations.runs(action="judge", run_id=folder.run_id, votes_path=str(votes))
    assert reply.result.judging.details.raters[0].judged == 1


async def test_equal_answers_are_ties_that_nobody_needs_to_look_at(
    evaluations: Evaluations, arguments: dict[str, Any], base_folder: Path
):
    from tests.evaluate.conftest import save_adapter

    same = save_adapter(base_folder, base_folder.parent / "same", random=False)
    folder = evaluations.finish("out", judge="assistant", **arguments | {"finetuned_path": same})
    reply = await evaluations.runs(action="judge", run_id=folder.run_id)
    assert reply.mode == "evaluate"
    judging = reply.result.judging
    assert (judging.judged, judging.ties, judging.win_rate, judging.verdict) == (PAIRS, PAIRS, 0.5, "no evidence")
    assert len(reply.result.samples) == 5


async def test_only_an_evaluation_with_a_judge_can_be_judged(evaluations: Evaluations, arguments: dict[str, Any]):
    folder = evaluations.finish("out", **arguments)
    with pytest.raises(InputError, match="left no answers to judge"):
        await evaluations.runs(action="judge", run_id=folder.run_id)


def test_a_judge_needs_two_models_and_an_endpoint_needs_an_address(
    evaluations: Evaluations, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    wrong = arguments | {"finetuned_path": None, "output_dir": evaluations.settings.roots[0] / "out"}
    with pytest.raises(InputError, match="nothing to compare") as refused:
        resolve(EvaluateRequest(judge="endpoint", **wrong), evaluations.settings)
    assert "OPENAI_BASE_URL" in refused.value.problem


def test_the_evaluation_offers_the_call_that_judges(evaluations: Evaluations, arguments: dict[str, Any]):
    folder = evaluations.finish("out", judge="assistant", **arguments)
    request = EvaluateRequest.model_validate(folder.record().resolved)
    first = next_steps(request, result_of(folder))[0]
    assert (first.tool, first.arguments) == ("runs", {"action": "judge", "run_id": folder.run_id})
