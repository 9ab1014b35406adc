"""What the preflight says about rows and base model, and what `auto` chooses by them."""

import json
from pathlib import Path
from typing import Any

import pytest
from faion_finetuner.core.errors import ModelError
from faion_finetuner.core.train import auto
from faion_finetuner.core.train.base_check import base_check
from faion_finetuner.core.train.request import TrainRequest
from faion_finetuner.core.train.result import Choice, TrainResult
from faion_finetuner.core.train.rows import Row, Rows
from faion_finetuner.core.train.settle import settle_job

from .bench import THIRD_PARTIES, Bench, Told

pytestmark = THIRD_PARTIES


def checks(bench: Bench, **given: Any) -> dict[str, Any]:
    """The checks of everything that is settled before a model is loaded."""
    return {check.name: check for check in settle_job(bench.request(**given), bench.active()).checks}


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_sound_rows_and_model_pass_every_check(bench: Bench):
    found = checks(bench)
    names = ("Begin of text", "Stop token", "Padding", "Template", "Base model")
    assert [found[name].status for name in names] == ["pass"] * len(names)
    assert "end stays trained: 56 times" in found["Padding"].details  # 48 rows and 8 of the validation


def test_the_mask_preview_shows_each_token_and_marks_the_trained_ones(bench: Bench):
    row = {"messages": [{"role": "user", "content": "I see a red apple."}, {"role": "assistant", "content": "red"}]}
    (bench.root / "one.jsonl").write_text(json.dumps(row) + "\n")
    shown = settle_job(bench.request(data_path="one.jsonl"), bench.active()).result().mask_preview
    head, text = shown.split("\n\n")[1].split("\n")
    assert head == "Row 1: 26 tokens, 2 trained"
    assert text.startswith("<|im_start|>|")
    assert text.endswith("[red|<|im_end|>]|⏎")
    assert text.replace("|⏎|", "⏎").count("[") == 1


def test_long_stretches_are_shortened_and_a_pair_shows_both_answers(bench: Bench):
    chosen, rejected = ([{"role": "assistant", "content": text}] for text in ("yes", "no " * 60))
    row = {"prompt": [{"role": "user", "content": "apple " * 90}], "chosen": chosen, "rejected": rejected}
    (bench.root / "pair.jsonl").write_text(json.dumps(row) + "\n")
    shown = settle_job(bench.request(data_path="pair.jsonl", method="dpo"), bench.active()).result().mask_preview
    assert "Row 1, chosen" in shown
    assert "Row 1, rejected" in shown
    assert " more … |" in shown


def test_an_end_that_generation_does_not_stop_at_is_a_warning(bench: Bench, told: Told):
    edit_json(bench.root / "tiny" / "generation_config.json", eos_token_id=[0])
    stop = checks(bench)["Stop token"]
    assert (stop.status, stop.count) == ("warn", 56)
    assert "«<|im_end|>»" in stop.details
    assert "Add 2 to eos_token_id in the model's generation_config.json" in stop.next_step
    told("Generation does not stop at the trained end", f"{stop.status}: {stop.details}")


def test_rows_that_begin_twice_fail(bench: Bench, told: Told):
    tokenizer = bench.root / "tiny" / "tokenizer_config.json"
    edit_json(tokenizer, bos_token="<|endoftext|>")
    template = bench.root / "tiny" / "chat_template.jinja"
    template.write_text("{{ bos_token }}" + template.read_text())
    assert checks(bench)["Begin of text"].status == "pass"
    template.write_text("{{ bos_token }}" + template.read_text())
    begin = checks(bench)["Begin of text"]
    assert (begin.status, begin.count) == ("fail", 56)
    told("The template writes the begin-of-text token twice", f"{begin.status}: {begin.details}")


def test_a_template_that_leaves_out_what_a_message_says_is_a_warning(bench: Bench, told: Told):
    template = bench.root / "tiny" / "chat_template.jinja"
    template.write_text(template.read_text().replace("message['content']", "message['content'].split('</think>')[-1]"))
    rows = [json.loads(line) for line in (bench.root / "data" / "train.jsonl").read_text().splitlines()]
    for row in rows[:5]:
        row["messages"][1]["content"] = "<think>red is a colour</think>" + row["messages"][1]["content"]
    (bench.root / "data" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = checks(bench)["Template"]
    assert (found.status, found.count) == ("warn", 5)
    assert "row 1 first" in found.details
    told("The template leaves out what a message says", f"{found.status}: {found.details}")


def test_tools_that_the_template_does_not_tell_of_are_a_warning(bench: Bench, told: Told):
    path = bench.root / "data" / "train.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[6]["tools"] = [{"type": "function", "function": {"name": "paint", "parameters": {"type": "object"}}}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = checks(bench)["Template"]
    assert (found.status, found.count) == ("warn", 1)
    assert "leaves out or alters the tools in 1 of 48 rows looked at (row 7 first)" in found.details
    told("The template leaves out the tools", f"{found.status}: {found.details}")
    template = bench.root / "tiny" / "chat_template.jinja"
    template.write_text("{{ tools | tojson if tools }}" + template.read_text())
    assert checks(bench)["Template"].status == "pass"


def test_an_answer_that_begins_otherwise_than_a_server_asks_for_it_is_a_warning(bench: Bench, told: Told):
    assert "Generation prompt" not in checks(bench)
    template = bench.root / "tiny" / "chat_template.jinja"
    template.write_text(template.read_text().replace("assistant\n' }}", "assistant\n<think>\n' }}"))
    found = checks(bench)["Generation prompt"]
    assert (found.status, found.count) == ("warn", 48)
    assert "but a server asks for it with" in found.details
    assert "<think>" in found.details
    assert "reasoning_content" in found.next_step
    told("The template asks for answers otherwise than the rows begin them", f"{found.status}: {found.details}")


def test_answers_without_their_end_teach_no_stopping(bench: Bench, told: Told):
    end = checks(bench, hyperparameters={"max_seq_length": 30})["End of turn"]
    assert (end.status, end.count > 40) == ("fail", True)
    assert f"In {end.count} of 48 rows the last answer is cut before its end" in end.details
    told("Answers are cut before their end of turn", f"{end.status}: {end.details}")
    row = json.loads((bench.root / "data" / "train.jsonl").read_text().splitlines()[0])
    row["messages"][1]["content"] *= 9
    with (bench.root / "data" / "train.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    one = checks(bench, hyperparameters={"max_seq_length": 60})["End of turn"]
    assert (one.status, one.count) == ("warn", 1)
    assert "row 49" in one.details


def test_rows_longer_than_the_model_reads_are_not_to_be_kept_by_a_longer_max_seq_length(bench: Bench):
    assert (
        "max_seq_length 38 would keep" in checks(bench, hyperparameters={"max_seq_length": 34})["Truncation"].next_step
    )
    edit_json(bench.root / "tiny" / "config.json", max_position_embeddings=34)
    found = checks(bench)["Truncation"]
    assert found.next_step.startswith("The model reads 34 tokens at most (longest row: 38)")


def test_validation_rows_that_are_not_measured_are_named(bench: Bench, told: Told):
    path = bench.root / "data" / "valid.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows[:3]:
        row["messages"][0]["content"] *= 9
    rows[3]["messages"][1]["content"] *= 9
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    some = checks(bench)["Validation data"]
    assert (some.status, some.count) == ("warn", 3)
    assert "Of 8 validation rows 3 are left out, with no token to learn and 1 lose the end" in some.details
    path.write_text("".join(json.dumps(row) + "\n" for row in rows[:3]))
    none = checks(bench)["Validation data"]
    assert "None of the 3 validation rows has a token to learn" in none.details
    told("The validation rows are too long to be measured", f"{none.status}: {none.details}")


def test_a_loss_on_next_to_nothing_says_what_to_do(bench: Bench):
    path = bench.root / "data" / "train.jsonl"
    row = {"messages": [{"role": "user", "content": "apple " * 80}, {"role": "assistant", "content": "x"}]}
    path.write_text(json.dumps(row) + "\n")
    found = checks(bench)["Loss mask"]
    assert (found.status, found.count) == ("warn", 0)
    assert "shorten them" in found.next_step


def test_a_token_that_the_model_has_no_vector_for_is_refused(bench: Bench, told: Told):
    edit_json(bench.root / "tiny" / "config.json", vocab_size=200)
    words = r"writes token \d+ \(row \d+\), but the model has vectors for 200 tokens"
    with pytest.raises(ModelError, match=words) as caught:
        checks(bench)
    told("A token has no vector in the model", caught.value.problem)


@pytest.mark.parametrize(
    ("card", "status", "words"),
    [
        ("license: apache-2.0", "pass", "apache-2.0"),
        ("license: cc-by-nc-4.0", "warn", "not for commercial use"),
        ("license: other\nlicense_name: llama3.1", "warn", "their own text and name"),
        ("license: something-new", "warn", "not one of the usual free licences"),
        ("tags: [a]", "pass", "No licence lies"),
    ],
)
def test_the_base_model_s_licence_is_read_from_its_card(tmp_path: Path, card: str, status: str, words: str):
    (tmp_path / "README.md").write_text(f"---\n{card}\n---\n# A model\n")
    found = base_check("model", tmp_path)
    assert (found.status, words in found.details) == (status, True), found.details


def test_a_licence_text_is_recognised_without_a_card(tmp_path: Path):
    assert "No licence lies" in base_check("model", tmp_path).details
    (tmp_path / "LICENSE").write_text("                 Apache License\n           Version 2.0, January 2004\n")
    assert base_check("model", tmp_path).details == "Licence «apache-2.0»."


def rows_of(number: int, length: int = 10) -> Rows:
    rows = [Row(n, [1] * length, [1] * length) for n in range(1, number + 1)]
    return Rows(rows, [], length, number * length, number * length, ())


def chosen(request: TrainRequest, rows: Rows, **config: Any) -> dict[str, Any]:
    return {choice.name: choice.value for choice in auto.by_data(request, rows, config)}


@pytest.mark.parametrize(
    ("family", "hidden", "rate"),
    [("llama", 2048, 4.9e-4), ("llama", 4096, 2.9e-4), ("llama", 8192, 1.7e-4), ("qwen3", 4096, 4.7e-4)],
)
def test_the_learning_rate_follows_the_family_s_published_values(bench: Bench, family: str, hidden: int, rate: float):
    request = bench.request(auto=True, hyperparameters={"learning_rate": None})
    assert chosen(request, rows_of(10), model_type=family, hidden_size=hidden)["learning_rate"] == rate
    full = request.model_copy(update={"technique": "full"})
    tenth = chosen(full, rows_of(10), model_type=family, hidden_size=hidden)["learning_rate"]
    assert tenth == pytest.approx(rate / 10, rel=0.03)


def test_auto_leaves_alone_what_was_asked_for_and_what_it_has_no_rule_for(bench: Bench):
    request = bench.request(auto=True, hyperparameters={"rank": 4, "epochs": 7})
    assert chosen(request, rows_of(10), model_type="llama", hidden_size=64) == {}
    other = bench.request(auto=True, hyperparameters={"learning_rate": None, "rank": 4})
    assert chosen(other, rows_of(10), model_type="gemma3", hidden_size=64) == {}
    assert chosen(bench.request(auto=False, hyperparameters={"learning_rate": None}), rows_of(10)) == {}


def test_more_rows_have_a_higher_rank_and_fewer_epochs(bench: Bench):
    request = bench.request(auto=True, hyperparameters={"epochs": None})
    assert chosen(request, rows_of(100)) == {"rank": 16, "alpha": 16.0, "epochs": 3.0}
    assert chosen(request, rows_of(6_000)) == {"rank": 16, "alpha": 16.0, "epochs": 2.0}
    assert chosen(request, rows_of(60_000, 1)) == {"rank": 32, "alpha": 32.0, "epochs": 1.0}


def test_a_few_far_longer_rows_are_cut_at_the_99th_percentile(bench: Bench):
    request = bench.request(auto=True)
    choice = auto.by_length(request, [*range(1, 200), 5000])
    assert isinstance(choice, Choice)
    assert choice.value == 200
    assert "1 rows are cut" in choice.reason
    assert auto.by_length(request, [*range(1, 200), 250]) is None
    asked = bench.request(auto=True, hyperparameters={"max_seq_length": 64})
    assert auto.by_length(asked, [*range(1, 200), 5000]) is None


def test_auto_is_in_the_result_with_reason_and_source(bench: Bench):
    numbers = {"learning_rate": None, "batch_size": None, "gradient_accumulation": None, "epochs": None, "max_steps": 2}
    result: TrainResult = bench.train(auto=True, hyperparameters=numbers)
    choices = {choice.name: choice for choice in result.configuration.choices}
    assert set(choices) == {"learning_rate", "rank", "alpha", "batch_size", "gradient_accumulation"}
    assert all(choice.reason and choice.source for choice in choices.values())
    effective = result.configuration.effective
    assert all(getattr(effective, name) == choice.value for name, choice in choices.items())
    assert result.configuration.requested.learning_rate is None
