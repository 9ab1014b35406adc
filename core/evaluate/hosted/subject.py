"""The held-out rows as requests, for models that answer over the network."""

import json
from dataclasses import replace
from typing import Any

import orjson

from ... import lossless_json
from ...errors import DataError
from ...examples.chat import tools_of
from ...examples.convert import to_record
from ...examples.types import ChatExample, Example, Message, prompt_of
from ...models.hosted.tokens import TokenCounter
from ..call_reader import HOSTED
from ..expected_calls import questions_of, reference_of
from ..request import EvaluateRequest
from ..subject import Subject, draw_rows, subject_of

SENT = ("role", "content", "name", "tool_calls", "tool_call_id")  # a weight belongs to training alone


def read_hosted(request: EvaluateRequest, counter: TokenCounter) -> Subject:
    """The rows to ask; each prompt is the JSON of what is sent beside model and settings.

    Raises:
        DataError: The file has no row with a prompt and an answer.
    """
    drawn = draw_rows(request)
    usable = [one for one in drawn.examples if reference_of(one).strip() and _body(one) is not None]
    if not usable:
        raise DataError(
            f"None of the {len(drawn.examples)} rows has a prompt and an answer.",
            "Give held-out rows with answers, such as the valid.jsonl that prepare wrote.",
        )
    questions = questions_of(usable)
    longest = max(counter.at_most(reference_of(question)) for question in questions)
    prompts = [orjson.dumps(_body(question)).decode() for question in questions]
    return replace(subject_of(request, drawn, usable, prompts, longest), reader=HOSTED)


def _body(example: Example) -> dict[str, Any] | None:
    """Messages, and tools where the row has them; None without a prompt."""
    prompt = prompt_of(example)
    messages = (Message("user", prompt),) if isinstance(prompt, str) else prompt
    if not any(message.content for message in messages):
        return None
    record = to_record(ChatExample(messages=messages), "openai")
    sent = [{name: turn[name] for name in SENT if name in turn} for turn in record["messages"]]
    tools = tools_of(example)
    body = {"messages": sent} | ({"tools": tools} if tools else {})
    return json.loads(lossless_json.dumps(body))  # numbers as the network has them
