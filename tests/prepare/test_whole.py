"""What a preparation says of the data as a whole, and prompt templates, through the mode."""

from typing import Any

import pytest
from faion_finetuner.core.errors import DataError, InputError
from faion_finetuner.core.prepare.mode import MODE
from faion_finetuner.core.prepare.report import report
from faion_finetuner.core.reports.report import to_html
from faion_finetuner.tools.prepare import next_steps

from .preparing import pair, pairs, prepare, said, write_rows

GERMAN = "Der Zug fährt heute leider nicht, weil die Strecke nach dem Sturm gesperrt ist und repariert wird."
ENGLISH = "The train does not run today because the line is closed after the storm and must be repaired first."


def test_a_prompt_template_writes_the_question(settings):
    rows = [{"text": f"review {i} text{i}", "stars": i, "label": "good"} for i in range(12)]
    outcome = prepare(
        settings,
        write_rows(settings, "a.jsonl", rows),
        prompt_template="Rate {{ text | upper }}{% if stars > 5 %} (popular){% endif %}",
        columns={"text": "user", "label": "assistant"},
        valid_fraction=0,
        dedup="off",
    )
    assert said(outcome.train[2]) == ["Rate REVIEW 2 TEXT2", "good"]
    assert said(outcome.train[7]) == ["Rate REVIEW 7 TEXT7 (popular)", "good"]


def test_a_template_field_that_no_row_has_is_refused(settings):
    with pytest.raises(InputError, match="prompt_template: there is no field «txet»") as caught:
        prepare(settings, write_rows(settings, "a.jsonl", [{"text": "a", "label": "b"}]), prompt_template="{{ txet }}")
    assert "Did you mean «text»?" in caught.value.next_step


def test_a_row_without_the_templates_field_is_one_bad_row(settings):
    rows = [pair(f"Q{i} of{i}?", f"A{i} to{i} it{i}", topic=f"t{i}") for i in range(9)]
    del rows[4]["topic"]
    outcome = prepare(settings, write_rows(settings, "a.jsonl", rows), prompt_template="{{ topic }}: {{ question }}")
    assert outcome.result.dropped_by_reason == {"not_an_example": 1}
    assert "topic" in next(entry["matched"] for entry in outcome.ledger if entry["rule"] == "not_an_example")
    assert [entry["line"] for entry in outcome.ledger if entry["rule"] == "not_an_example"] == [5]


@pytest.mark.parametrize("template", ["{{ ''.__class__ }}", "{% for a in b %}", "{{ text.format(1) }}"])
def test_a_template_that_is_broken_or_reaches_out_ends_before_any_row_is_read(settings, template):
    with pytest.raises((InputError, DataError)):
        prepare(settings, write_rows(settings, "a.jsonl", pairs(3)), prompt_template=template)


def test_languages_are_counted_and_a_mix_is_told(settings):
    rows = [pair(f"Why no train {i}?", f"{ENGLISH} Case {i}.") for i in range(30)]
    rows += [pair(f"Warum kein Zug {i}?", f"{GERMAN} Fall {i}.") for i in range(6)]
    outcome = prepare(settings, write_rows(settings, "a.jsonl", rows), dedup="off")
    assert outcome.result.languages == {"en": 30, "de": 6}
    check = outcome.check("Languages")
    assert (check.status, check.count) == ("warn", 6)


def test_turns_and_lengths_add_up_to_the_rows(settings):
    long = {"messages": [{"role": role, "content": f"Turn {i}"} for i in range(3) for role in ("user", "assistant")]}
    outcome = prepare(settings, write_rows(settings, "a.jsonl", [*pairs(20), long]))
    assert outcome.result.turns == {"2": 20, "6": 1}
    lengths = outcome.result.lengths
    assert sum(lengths.counts) == 21
    assert len(lengths.edges) == len(lengths.counts) + 1


def test_the_worst_rows_are_shown_with_their_reasons_and_without_personal_data(settings):
    bad = pair(
        "Summarise the text.", "See <b>ann.lee@example.com</b>&nbsp;&nbsp;<br/><br/> as an AI language model, I cannot"
    )
    outcome = prepare(settings, write_rows(settings, "a.jsonl", [*pairs(30), bad]))
    worst = outcome.result.worth_a_look[0]
    assert worst.line == 31
    assert worst.reasons
    assert {entry["rule"] for entry in outcome.ledger if entry["row_id"] == worst.row_id} >= set(worst.reasons)
    assert "ann.lee" not in worst.excerpt
    assert "[EMAIL_1]" in worst.excerpt


def test_the_page_shows_lengths_and_classes(settings):
    rows = [pair(f"What{i} is{i}?", f"It{i} is{i} so{i} much{i} more{i}", category="ab"[i % 2]) for i in range(40)]
    made = report(prepare(settings, write_rows(settings, "a.jsonl", rows)).result)
    assert [figure.name for figure in made.figures] == ["lengths.svg", "classes.svg"]
    page = to_html(made.title, made.markdown, made.figures)
    assert page.count("data:image/svg+xml") == 2
    assert "<script" not in page


def test_preference_pairs_stay_pairs_in_every_format(settings):
    rows = [
        {"prompt": f"Ask{i} what{i}?", "chosen": f"Good{i} reply{i}", "rejected": f"Bad{i} reply{i}"} for i in range(12)
    ]
    data = write_rows(settings, "a.jsonl", rows)
    keys = {
        "openai": {"prompt", "chosen", "rejected"},
        "sharegpt": {"conversations", "chosen", "rejected"},
        "alpaca": {"instruction", "input", "chosen", "rejected"},
        "completion": {"prompt", "chosen", "rejected"},
    }
    for format, names in keys.items():
        outcome = prepare(settings, data, output_dir=f"out-{format}", format=format, valid_fraction=0)
        assert len(outcome.train) == 12
        assert all(row.keys() == names for row in outcome.train)
        assert "Bad3" in str(outcome.train[3]["rejected"])


@pytest.mark.parametrize(("answers", "method"), [({"chosen": "A", "rejected": "B"}, "dpo"), ({"answer": "A"}, None)])
def test_the_next_call_trains_pairs_as_pairs(settings, answers, method):
    rows = [
        {"prompt": f"Q{i} of{i}?"} | {name: f"{text}{i} to{i} it{i}" for name, text in answers.items()}
        for i in range(9)
    ]
    given: dict[str, Any] = {"data_path": write_rows(settings, "a.jsonl", rows), "output_dir": "out", "dedup": "off"}
    outcome = prepare(settings, **given)
    steps = next_steps(MODE.resolve(MODE.request(**given), settings), outcome.result)
    assert {step.arguments.get("method") for step in steps if step.tool == "train"} == {method}
