import json

import pytest
from faion_finetuner.core.personal.redact import redact_all

from .preparing import pair, pairs, prepare, said, write, write_rows

# Published documentation and test values, or made up; none is anybody's.
FOUND = {
    "mail jane.doe+x@example.co.uk.": "mail [EMAIL_1].",
    "call +1 (555) 123-4567 now": "call [PHONE_1] now",
    "(555) 123-4567": "[PHONE_1]",
    "555.123.4567": "[PHONE_1]",
    "+44 20 7946 0958": "[PHONE_1]",
    "020 7946 0958": "[PHONE_1]",
    "01 23 45 67 89": "[PHONE_1]",
    "phone: 5551234567": "phone: [PHONE_1]",
    "card 4111 1111 1111 1111": "card [CARD_1]",
    "378282246310005": "[CARD_1]",
    "DE89 3704 0044 0532 0130 00": "[IBAN_1]",
    "GB82WEST12345698765432": "[IBAN_1]",
    "SSN 123-45-6789": "SSN [SSN_1]",
    "ssn: 123456789": "ssn: [SSN_1]",
    "from 203.0.113.42.": "from [IP_1].",
    "at 2001:db8::ff00:42:8329": "at [IP_1]",
    "https://bob:hunter2@example.com/x": "https://[CREDENTIALS_1]@example.com/x",
    "AKIA" + "IOSFODNN7EXAMPLE": "[API_KEY_1]",
    "ghp_" + "abcdefghijklmnopqrstuvwxyz0123456789": "[API_KEY_1]",
    "sk-proj-" + "abcDEF1234567890abcDEF1234567890": "[API_KEY_1]",
    "api_key = 'a8f5f167f44f4964e6c998dee827110c'": "api_key = '[API_KEY_1]'",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIBOgIBAAJBAKj34GkxFhD9\n-----END RSA PRIVATE KEY-----": "[PRIVATE_KEY_1]",
    "a@example.org, b@example.org, A@example.org": "[EMAIL_1], [EMAIL_2], [EMAIL_1]",
    "[EMAIL_4] and new@example.org": "[EMAIL_4] and [EMAIL_5]",
}
NOT_PERSONAL = (
    *("2024-01-02", "1990-2000", "3.14159265358979", "version 1.2.3.4", "127.0.0.1", "10:30:45", "1,234,567,890"),
    *("ISBN 978-3-16-148410-0", "std::vector<int>::iterator", "git@github.com:a/b", "price $1234567890", "a::b::c"),
    *("sk-learn is a library", "10 20 30 40 50 60", "token=abc", "2023-10-05T12:30:00", "4111 1111 1111 1112"),
    *("GB82WEST12345698765433", "1234567890123456", "666-45-6789", "sum 123 456 789", "the years 2001 2002 2003"),
)


@pytest.mark.parametrize(("text", "redacted"), FOUND.items())
def test_a_value_is_replaced_by_its_kind(text, redacted):
    assert redact_all(text) == redacted
    assert redact_all(redacted) == redacted


@pytest.mark.parametrize("text", NOT_PERSONAL)
def test_what_only_looks_like_a_value_stays(text):
    assert redact_all(text) == text


def test_long_runs_cost_linear_time():
    for text in ("a" * 200_000, "a." * 100_000 + "@", "1 " * 100_000, "@" * 100_000, "::" * 50_000, "+1" * 100_000):
        redact_all(text)  # the suite's time limit fails this when a pattern is quadratic


SECRETS = ("bob@example.org", "+1 202 555 0143", "4111 1111 1111 1111")


def leaky_rows():
    record = pair(f"I am {SECRETS[0]}, who are you?", f"Call {SECRETS[1]} or {SECRETS[0]}", card={"no": [SECRETS[2]]})
    return [*pairs(8), record, record, pair(SECRETS[0], "")]


def test_redaction_reaches_every_text_of_a_row_and_nothing_of_it_is_written_down(settings):
    content = "".join(json.dumps(row) + "\n" for row in leaky_rows()) + f'{{"broken": "{SECRETS[0]}\n\xff{SECRETS[1]}\n'
    outcome = prepare(settings, write(settings, "a.jsonl", content.encode("latin-1")))
    row = next(row for row in outcome.rows if "card" in row)
    assert said(row) == ["I am [EMAIL_1], who are you?", "Call [PHONE_1] or [EMAIL_1]"]
    assert row["card"] == {"no": ["[CARD_1]"]}
    assert outcome.result.personal_data == {"email": 2, "phone": 2, "card": 2}
    everything = outcome.result.model_dump_json() + outcome.report
    everything += "".join(path.read_text("utf-8") for path in outcome.folder.glob("*.jsonl"))
    for secret in SECRETS:
        assert secret not in everything
    entries = [entry for entry in outcome.ledger if entry["rule"] == "personal_data"]
    assert [entry["before"] for entry in entries] == [None, None]
    assert entries[0]["after"]["messages.0.content"] == "I am [EMAIL_1], who are you?"
    assert entries[0]["matched"] == {"card": 1, "email": 1, "phone": 1}


def test_report_leaves_the_rows_and_flags_them(settings):
    outcome = prepare(settings, write_rows(settings, "a.jsonl", leaky_rows()), pii="report")
    assert any(SECRETS[0] in said(row)[0] for row in outcome.rows)
    assert [entry["action"] for entry in outcome.ledger if entry["rule"] == "personal_data"] == ["flagged", "flagged"]
    assert outcome.check("Personal Data").status == "warn"
    assert SECRETS[0] not in outcome.report


def test_drop_takes_the_whole_row(settings):
    outcome = prepare(settings, write_rows(settings, "a.jsonl", leaky_rows()), pii="drop")
    assert outcome.result.unique_examples == 8
    assert outcome.result.dropped_by_reason == {"personal_data": 2, "empty_answer": 1}
    assert SECRETS[0] not in (outcome.folder / "ledger.jsonl").read_text("utf-8")


def test_off_does_not_look_and_says_so(settings):
    outcome = prepare(settings, write_rows(settings, "a.jsonl", leaky_rows()), pii="off")
    assert outcome.result.personal_data == {}
    assert outcome.check("Personal Data").status == "warn"


@pytest.mark.parametrize("number", [4155550132, "4155550132", "415.555.0132"])
def test_a_number_under_a_telling_name_is_personal_data_wherever_it_stands(settings, number):
    beside = {"phone": number, "total": 4155550132, "year": 2024, "ok": True, "inner": [{"mobile": number, "n": 1.5}]}
    outcome = prepare(settings, write_rows(settings, "a.jsonl", [pair("Who?", "Somebody new", **beside)]), dedup="off")
    [row] = outcome.rows
    assert row["phone"] == row["inner"][0]["mobile"] == "[PHONE_1]"
    assert (row["total"], row["year"], row["ok"], row["inner"][0]["n"]) == (4155550132, 2024, True, 1.5)
    assert outcome.result.personal_data == {"phone": 1}
    [entry] = outcome.ledger
    assert entry["after"] == {"fields.phone": "[PHONE_1]", "fields.inner.0.mobile": "[PHONE_1]"}


def test_what_the_ledger_shows_of_a_dropped_row_hides_such_numbers_too(settings):
    rows = [pair("Who?", "Somebody new"), pair("Who else?", "", phone=4155550132)]
    outcome = prepare(settings, write_rows(settings, "a.jsonl", rows))
    assert [entry["before"]["phone"] for entry in outcome.ledger] == ["[PHONE_1]"]


def test_a_number_beside_a_rejected_answer_or_in_a_call_is_redacted_too(settings):
    asked = {"role": "user", "content": "Who was it?"}
    call = {"id": "c1", "phone": 4155550132, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    beside = {"role": "assistant", "content": "Nobody knows.", "phone": 4155550132}
    rows = [
        {"prompt": [asked], "chosen": [{"role": "assistant", "content": "Somebody."}], "rejected": [beside]},
        {"messages": [asked, {"role": "assistant", "content": "I will look.", "tool_calls": [call]}]},
    ]
    outcome = prepare(settings, write_rows(settings, "a.jsonl", rows), format="openai", dedup="off", valid_fraction=0)
    assert outcome.result.personal_data == {"phone": 2}
    written = json.dumps(outcome.rows)
    assert written.count("[PHONE_1]") == 2
    assert "4155550132" not in written


def test_a_number_under_a_name_that_holds_a_number_is_redacted_alone(settings):
    row = pair("Who?", "Somebody new", **{"phone 415-555-0132": "415-555-0199"})
    [written] = prepare(settings, write_rows(settings, "a.jsonl", [row])).rows
    assert written["phone 415-555-0132"] == "[PHONE_1]"
