"""Rows that end in tool calls: scored call by call, for models here and hosted ones, with what goes wrong named."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from faion_finetuner.core.evaluate.comparison import compare
from faion_finetuner.core.evaluate.items import ITEMS, Items
from faion_finetuner.core.evaluate.reporting.report import report
from faion_finetuner.core.evaluate.result import EvaluateResult, ScoreRow
from faion_finetuner.core.evaluate.scoring.choice import Tooled, choose
from faion_finetuner.core.evaluate.scoring.scores import SCORES
from faion_finetuner.core.models.generate import Generation
from faion_finetuner.core.settings import Settings

from tests.evaluate.conftest import save_adapter, write_rows
from tests.evaluate.finished import Evaluations
from tests.evaluate.hosted_pair import BASE, TUNED, said
from tests.evaluate.world import World, statuses
from tests.openai_jobs.stand_in import StandIn
from tests.tiny import tiny_model

# peft 0.21 still reads the old name of activation checkpointing
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")

CITIES = ("Oslo", "Rome", "Lima", "Bern", "Riga", "Kyiv", "Doha", "Baku", "Apia", "Cork", "Nice", "Pisa")
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather in a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
        },
    }
]
TEMPLATE = (
    "{% if tools %}{{ '<|im_start|>system\n' + tools | tojson + '<|im_end|>\n' }}{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content }}"
    "{% for call in m.tool_calls or [] %}{{ '<tool_call>\n' + call.function | tojson + '\n</tool_call>' }}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def weather(city: str, days: int = 1) -> dict[str, Any]:
    return {"name": "weather", "arguments": {"city": city, "days": days}}


def written(*calls: dict[str, Any]) -> str:
    return "\n".join(f"<tool_call>\n{json.dumps(call)}\n</tool_call>" for call in calls)


def calling(city: str) -> dict[str, Any]:
    function = {"name": "weather", "arguments": json.dumps({"days": 1, "city": city})}
    call = {"id": "call00001", "type": "function", "function": function}
    asked = {"role": "user", "content": f"How is it in {city} today?"}
    return {"messages": [asked, {"role": "assistant", "content": "", "tool_calls": [call]}], "tools": TOOLS}


def idle(city: str) -> dict[str, Any]:
    asked = {"role": "user", "content": f"Say hello to {city}!"}
    return {"messages": [asked, {"role": "assistant", "content": f"Hello, you good people of {city}."}], "tools": TOOLS}


@pytest.fixture(scope="session")
def calling_base(base_folder: Path) -> Path:
    """A tiny model whose chat template writes tools and calls as Qwen's does."""
    folder = tiny_model(base_folder.parent / "calling")
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


@pytest.fixture(scope="session")
def calling_adapter(calling_base: Path) -> Path:
    return save_adapter(calling_base, calling_base.parent / "calling-adapter", random=True)


def scripted(monkeypatch: pytest.MonkeyPatch, base: Sequence[str], tuned: Sequence[str], **more: Any) -> list[str]:
    """Let both models give these answers; the prompts that they were asked with."""
    sides: Iterator[Sequence[str]] = iter([base, tuned])
    asked: list[str] = []

    def answers(_model: Any, _tokenizer: Any, prompts: Sequence[str], **_: Any) -> list[Generation]:
        asked.extend(prompts)
        return [Generation(text, **({"stopped": True, "tokens": 9} | more)) for text in next(sides)]

    monkeypatch.setattr("faion_finetuner.core.evaluate.contestants.generate", answers)
    return asked


def by_metric(result: EvaluateResult) -> dict[str, ScoreRow]:
    return {row.metric: row for row in result.scores}


def check_of(result: EvaluateResult, name: str) -> Any:
    return next(check for check in result.checks if check.name == name)


def test_calls_are_scored_by_value_and_needless_ones_are_counted(
    evaluations: Evaluations, calling_base: Path, calling_adapter: Path, monkeypatch: pytest.MonkeyPatch
):
    rows = [*map(calling, CITIES), *map(idle, CITIES)]
    data = write_rows(evaluations.settings.roots[0] / "rows.jsonl", rows)
    base = ["I do not know."] * 9 + [written(weather(city, 3)) for city in CITIES[9:]] + ["Hello."] * 12
    tuned = [written(weather(city)) for city in CITIES[:10]] + [
        written(weather(CITIES[10]), weather("Rome")),
        '<tool_call>\n{"name": "weather", "argum',
        *[written(weather("Rome"))] * 12,
    ]
    asked = scripted(monkeypatch, base, tuned)
    folder = evaluations.finish("out", model_name=str(calling_base), finetuned_path=calling_adapter, data_path=data)
    result = EvaluateResult.model_validate_json(folder.result_path.read_bytes())
    assert all("The weather in a city." in prompt for prompt in asked)
    assert result.answer_kind == "tool calls"
    assert result.answer_kind_reason.startswith("12 of 24 reference answers call tools; of the others, half of")

    found = by_metric(result)
    right = found["tool_match"]
    assert (right.base, right.finetuned, right.n, right.gained, right.lost) == (0, 10 / 12, 12, 10, 0)
    assert right.p_value == pytest.approx(2 * 0.5**10)  # McNemar's exact test
    assert right.verdict == "improved"
    assert found["tool_name"].base == 3 / 12
    # of 24 expected arguments the base has 3 cities right beside 3 wrong days; two calls too many, one unreadable
    f1 = found["tool_arguments"]
    assert (f1.base, f1.finetuned) == (2 * 3 / (6 + 24), 2 * 22 / (22 + 2 + 1 + 24))
    assert f1.ci95 is not None
    assert f1.ci95.low > 0
    missed = found["tool_missed"]
    assert (missed.base, missed.finetuned, missed.gained, missed.higher_is_better) == (9 / 12, 0, 9, False)
    assert missed.verdict == "improved"
    needless = found["tool_overcall"]
    assert (needless.base, needless.finetuned, needless.n, needless.gained, needless.lost) == (0, 1, 12, 0, 12)
    assert needless.verdict == "regressed"
    assert found["rougeL"].n == 12  # the answers in words are scored as texts
    assert result.verdict == "mixed"

    assert statuses(result)["tools_in_prompt"] == "pass"
    assert statuses(result)["tool_calls_read"] == "pass"
    closed = check_of(result, "tool_calls_closed")
    assert (closed.status, closed.count) == ("warn", 1)
    assert "argum" in closed.details

    told = report(result).markdown
    for label in ("Tool calls right", "Tool names right", "Tool arguments F1", "Tool calls missed", "Needless tool"):
        assert label in told
    assert "never close it" in told
    lines = [json.loads(line) for line in Path(result.samples_path or "").read_text().splitlines()]
    assert lines[0]["reference"] == '{"name": "weather", "arguments": {"days": 1, "city": "Oslo"}}'
    assert [line["flip"] for line in lines] == ["gained"] * 10 + [None] * 2 + ["lost"] * 12
    assert "**Right by the base, wrong by the fine-tuned model** (tool_match, tool_overcall): 5 of 12" in told
    items = Items.model_validate_json((folder.path / ITEMS).read_bytes())
    sizes = {score.metric: len(score.keys) for score in items.scores}
    assert (sizes["tool_match"], sizes["tool_overcall"], sizes["rougeL"], sizes["perplexity"]) == (12, 12, 12, 24)


def test_calls_in_another_form_and_cut_ones_are_warned_of_with_their_text(
    world: World, calling_base: Path, calling_adapter: Path, monkeypatch: pytest.MonkeyPatch
):
    data = write_rows(world.settings.roots[0] / "rows.jsonl", list(map(calling, CITIES)))
    raw = "[TOOL_CALLS]" + json.dumps([weather("Oslo")])
    scripted(monkeypatch, [written(weather(city)) for city in CITIES], [raw] * 12, raw=raw, stopped=False)
    result = world.run(model_name=str(calling_base), finetuned_path=calling_adapter, data_path=data)
    assert by_metric(result)["tool_match"].finetuned == 0
    assert by_metric(result)["tool_missed"].finetuned == 0  # it tried
    check = check_of(result, "tool_calls_read")
    assert (check.status, check.count) == ("warn", 12)
    assert "12 of the fine-tuned model hold a call" in check.details
    assert "12 of the latter are in the form of another model family" in check.details
    assert "[TOOL_CALLS]" in check.details


def test_a_template_that_leaves_tools_out_of_the_prompt_is_named(world: World, base_folder: Path):
    data = write_rows(world.settings.roots[0] / "rows.jsonl", list(map(calling, CITIES)))
    result = world.run(model_name=str(base_folder), data_path=data)
    check = check_of(result, "tools_in_prompt")
    assert (check.status, check.count) == ("warn", 12)
    assert check.details.startswith("The chat template leaves tool definitions out of the prompts of 12 of 12 rows")
    assert check.details in report(result).markdown
    assert "plain JSON" in check_of(result, "tool_call_form").details
    assert result.max_new_tokens is not None
    assert result.max_new_tokens > 20  # room for a call, though the row's text is empty


def test_calls_that_the_data_holds_as_text_are_scored_in_that_form(
    world: World, base_folder: Path, adapter_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    turns = [(f"How is it in {city}?", written(weather(city))) for city in CITIES]
    rows = [
        {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": call}]}
        for asked, call in turns
    ]
    data = write_rows(world.settings.roots[0] / "rows.jsonl", rows)
    scripted(monkeypatch, ["no"] * 12, [call.replace("\n", " ") for _, call in turns])
    result = world.run(model_name=str(base_folder), finetuned_path=adapter_folder, data_path=data)
    right = by_metric(result)["tool_match"]
    assert (right.base, right.finetuned) == (0, 1)


def test_a_hosted_models_calls_are_scored(settings: Settings, provider: StandIn, monkeypatch: pytest.MonkeyPatch):
    evaluations = Evaluations(settings, settings.roots[0])
    data = write_rows(settings.roots[0] / "held.jsonl", [*map(calling, CITIES), *map(idle, CITIES)])

    def answer(asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        words = asked["messages"][-1]["content"]
        if "tools" not in asked or "How" not in words or asked["model"] == BASE:
            return said("A good day to you.")
        city = words.split()[4]
        function = {"name": "weather", "arguments": json.dumps({"city": city, "days": 1})}
        return said(None, "tool_calls", tool_calls=[{"id": "c", "type": "function", "function": function}])

    provider.chat = answer
    folder = evaluations.finish("out", model_name=f"openai:{BASE}", finetuned_path=f"openai:{TUNED}", data_path=data)
    result = EvaluateResult.model_validate_json(folder.result_path.read_bytes())
    found = by_metric(result)
    assert (found["tool_match"].base, found["tool_match"].finetuned) == (0, 1)
    assert (found["tool_missed"].base, found["tool_overcall"].finetuned) == (1, 0)
    assert result.generation_finetuned is not None
    assert result.generation_finetuned.empty == 0
    assert statuses(result)["has_effect"] == "pass"


def calls(*made: tuple[str, Any]) -> str:
    return json.dumps([{"name": name, "arguments": arguments} for name, arguments in made])


def scored(name: str, answers: list[str], references: list[str]) -> float:
    score = SCORES[name]
    return compare(score.statistic, score.rows(answers, references), None, seed=0).base


@pytest.mark.parametrize(
    ("made", "expected", "right"),
    [
        ([("f", {"a": 1, "b": [1, 2]})], [("f", {"b": [1, 2], "a": 1.0})], True),
        ([("g", {}), ("f", {"a": 1})], [("f", {"a": 1}), ("g", {})], True),
        ([("f", {"a": 1})], [("f", {"a": "1"})], False),
        ([("f", {"a": True})], [("f", {"a": 1})], False),
        ([("f", {"a": 1, "b": None})], [("f", {"a": 1})], False),
        ([("f", {"b": [2, 1]})], [("f", {"b": [1, 2]})], False),
        ([("f", {}), ("f", {})], [("f", {})], False),
        ([("f", {})], [("f", {}), ("f", {})], False),
        ([("f", {})], [("f", {"a": {}})], False),
        ([("F", {})], [("f", {})], False),
        ([], [("f", {})], False),
    ],
)
def test_calls_are_right_when_names_values_and_their_number_are(made: list, expected: list, right: bool):
    assert scored("tool_match", [calls(*made)], [calls(*expected)]) == float(right)


def test_arguments_of_parallel_calls_are_not_mixed():
    expected = calls(("f", {"a": 1, "b": 2}), ("f", {"a": 3, "b": 4}))
    mixed = calls(("f", {"a": 3, "b": 2}), ("f", {"a": 1, "b": 4}))
    assert scored("tool_arguments", [mixed], [expected]) == 0.5
    assert scored("tool_arguments", [calls(("f", {"a": 3, "b": 4}), ("f", {"a": 1, "b": 2}))], [expected]) == 1
    assert scored("tool_arguments", ["[]"], [expected]) == 0
    assert scored("tool_arguments", ['[{"unreadable": "malformed"}]'], [expected]) == 0
    assert scored("tool_arguments", [calls(("g", {"a": 1, "b": 2}))], [expected]) == 0


def test_the_scores_fit_rows_with_tools():
    texts = [f"{n} is a number of this long text" for n in range(9)]
    assert choose([], None, Tooled(5, 0)).scores == ("tool_match", "tool_name", "tool_arguments", "tool_missed")
    assert choose(texts, None, Tooled(0, 9)).scores[:2] == ("tool_overcall", "bleu")
    assert choose(texts, ("tool_calls", "chrf"), Tooled(0, 9)).scores == ("tool_overcall", "chrf")
    none = choose(texts, ("tool_calls", "chrf"))
    assert (none.scores, none.unfit[0]) == (("chrf",), "tool_match")
    only = choose([], ("exact_match", "tool_calls"), Tooled(5, 0))
    assert (only.unfit, only.reason) == (("exact_match",), "5 of 5 reference answers call tools")


def test_calls_before_the_last_answer_are_asked_for_as_well(
    evaluations: Evaluations, calling_base: Path, calling_adapter: Path, monkeypatch: pytest.MonkeyPatch
):
    def talk(city: str) -> dict[str, Any]:
        row = calling(city)
        result = {"role": "tool", "content": "mild", "tool_call_id": "call00001"}
        return row | {"messages": [*row["messages"], result, {"role": "assistant", "content": f"Mild in {city}."}]}

    data = write_rows(evaluations.settings.roots[0] / "rows.jsonl", [*map(talk, CITIES), idle("Oslo")])
    words = [f"Mild in {city}." for city in CITIES] + ["Hello."]
    asked = scripted(monkeypatch, [*words, *["no"] * 12], [*words, *(written(weather(city)) for city in CITIES)])
    folder = evaluations.finish("out", model_name=str(calling_base), finetuned_path=calling_adapter, data_path=data)
    result = EvaluateResult.model_validate_json(folder.result_path.read_bytes())
    assert asked[0].endswith("<|im_start|>tool\nmild<|im_end|>\n<|im_start|>assistant\n")
    assert asked[13].endswith("How is it in Oslo today?<|im_end|>\n<|im_start|>assistant\n")
    assert result.rows == 13
    assert result.perplexity is not None
    assert result.perplexity.n == 13
    found = by_metric(result)
    assert (found["tool_match"].finetuned, found["tool_match"].n, found["tool_overcall"].n) == (1, 12, 13)
    assert check_of(result, "earlier_calls").count == 12
    items = Items.model_validate_json((folder.path / ITEMS).read_bytes())
    assert {score.metric: len(score.keys) for score in items.scores}["perplexity"] == 13
    assert result.samples_path is not None
    assert len(Path(result.samples_path).read_text().splitlines()) == 25


def test_calls_that_are_broken_are_told_from_those_in_another_form(
    world: World, calling_base: Path, monkeypatch: pytest.MonkeyPatch
):
    data = write_rows(world.settings.roots[0] / "rows.jsonl", list(map(calling, CITIES)))
    scripted(monkeypatch, ["<tool_call>{'name': weather}</tool_call>"] * 12, [])
    result = world.run(model_name=str(calling_base), data_path=data)
    check = check_of(result, "tool_calls_read")
    assert (check.status, check.count) == ("warn", 12)
    assert check.details.startswith("Of the answers to 12 rows with tools, 12 of the base hold a call that cannot be")
    assert "another model family" not in check.details


@pytest.mark.parametrize("said", ["<tool_call>{'name': weather}</tool_call>", '<tool_call>{"name": "weather", "argum'])
def test_of_a_base_alone_no_training_is_to_be_looked_into(
    world: World, calling_base: Path, monkeypatch: pytest.MonkeyPatch, said: str
):
    data = write_rows(world.settings.roots[0] / "rows.jsonl", list(map(calling, CITIES)))
    scripted(monkeypatch, [said] * 12, [])
    result = world.run(model_name=str(calling_base), data_path=data)
    (bad,) = (one for one in result.checks if one.name in ("tool_calls_read", "tool_calls_closed") and one.count)
    assert bad.status == "warn"
    assert bad.next_step == (
        "Read them in samples.jsonl; training on rows with calls teaches how to write and to end them."
    )


def test_a_template_that_writes_the_first_of_several_calls_alone_is_named(world: World, base_folder: Path):
    folder = tiny_model(base_folder.parent / "first-call-alone")
    alone = TEMPLATE.replace("m.tool_calls or []", "(m.tool_calls or [])[:1]")
    assert alone != TEMPLATE
    (folder / "chat_template.jinja").write_text(alone)
    rows = list(map(calling, CITIES))
    for row in rows[:3]:
        answer = row["messages"][1]
        answer["tool_calls"] = [*answer["tool_calls"], calling("Rome")["messages"][1]["tool_calls"][0]]
    data = write_rows(world.settings.roots[0] / "rows.jsonl", rows)
    result = world.run(model_name=str(folder), data_path=data, dry_run=True)
    check = check_of(result, "tool_calls_read_back")
    assert (check.status, check.count) == ("warn", 3)


def test_calls_with_text_numbers_and_nested_values_are_read_back_from_the_template(world: World, calling_base: Path):
    values = {
        "city": 'Ñ "x" \\ \n</b>',
        "days": 2,
        "more": {"a": [1.5, None, True, {}], "b": []},
        "big": 12345678901234567890,
    }
    rows = list(map(calling, CITIES))
    rows[0]["messages"][1]["tool_calls"][0]["function"]["arguments"] = json.dumps(values)
    rows[1]["messages"][1]["content"] = "Let me look."
    rows[2]["messages"][1]["tool_calls"][0]["function"]["arguments"] = values
    data = write_rows(world.settings.roots[0] / "rows.jsonl", rows)
    result = world.run(model_name=str(calling_base), data_path=data, dry_run=True)
    assert "tool_calls_read_back" not in statuses(result)
