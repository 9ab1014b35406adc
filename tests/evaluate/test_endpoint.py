"""A model behind an OpenAI-compatible address as the judge, against a real server on loopback."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from faion_finetuner.core.errors import InputError, RemoteError
from faion_finetuner.core.evaluate.mode import MODE
from faion_finetuner.core.evaluate.request import EvaluateRequest
from faion_finetuner.core.evaluate.result import EvaluateResult
from faion_finetuner.core.settings import Settings

from tests.evaluate.finished import Evaluations

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
PAIRS = 5
KEY = "sk-test-nobody-may-see-this"
Answer = Callable[[dict[str, Any]], tuple[int, str]]


class Server(ThreadingHTTPServer):
    """Answers chat completions as its `answer` says; keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.models = ["judge-1"]
        self.asked: list[dict[str, Any]] = []
        self.answer: Answer = lambda _: (200, "Both are fine.\nVerdict: tie")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        self.reply(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in self.server.models]})

    def do_POST(self) -> None:
        assert isinstance(self.server, Server)
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(asked | {"key": self.headers["Authorization"]})
        status, text = self.server.answer(asked)
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        whole = {"id": "1", "object": "chat.completion", "created": 0, "model": asked["model"], "choices": [choice]}
        self.reply(status, whole if status == 200 else {"error": {"message": text}})

    def reply(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{made.server_port}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def evaluate(
    settings: Settings, base_folder: Path, adapter_folder: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., EvaluateResult]:
    evaluations = Evaluations(settings, base_folder.parent)
    for name, value in evaluations.settings.as_environment().items():
        monkeypatch.setenv(name, value)
    evaluations.make_legible(monkeypatch)

    def run(**arguments: Any) -> EvaluateResult:
        folder = evaluations.finish(
            "out",
            model_name=str(base_folder),
            finetuned_path=adapter_folder,
            data_path=prepared,
            metrics=("exact_match",),
            judge="endpoint",
            judge_pairs=PAIRS,
            **arguments,
        )
        for path in folder.path.parents[1].rglob("*"):
            assert path.is_dir() or KEY.encode() not in path.read_bytes(), path
        return EvaluateResult.model_validate_json(folder.result_path.read_bytes())

    return run


def longer(asked: dict[str, Any]) -> tuple[int, str]:
    """A judge who likes the longer answer, and says so."""
    text = asked["messages"][-1]["content"]
    if "answer_A" not in text:
        return 200, "ready"
    a, b = (re.search(rf"<answer_{x}-(\w+)>\n(.*?)\n</answer_{x}-\1>", text, re.DOTALL) for x in "AB")
    assert a is not None
    assert b is not None
    if len(a[2]) == len(b[2]):
        return 200, "Equal. **Verdict:** tie"
    return 200, f"Verdict: A would be my first thought, but no.\nVerdict: {'A' if len(a[2]) > len(b[2]) else 'B'}"


def test_the_only_model_of_the_endpoint_judges_every_pair_in_both_orders(
    server: Server, evaluate: Callable[..., EvaluateResult]
):
    server.answer = longer
    result = evaluate()
    judging = result.judging
    assert judging is not None
    assert (judging.judge, judging.judged, judging.position_flips) == ("endpoint", PAIRS, 0)
    assert judging.details.longer_won == 1.0
    assert judging.details.raters[0].name == "model judge-1"
    assert len(server.asked) == 1 + 2 * PAIRS  # one to hear whether it is there
    assert {one["key"] for one in server.asked} == {f"Bearer {KEY}"}
    assert all("finetuned" not in json.dumps(one["messages"]) for one in server.asked)
    assert len(result.samples) == 5
    assert judging.spent is not None
    assert judging.spent.calls == len(server.asked)


def test_a_judge_who_always_takes_the_first_answer_is_found_out(
    server: Server, evaluate: Callable[..., EvaluateResult]
):
    server.answer = lambda _: (200, "Verdict: A")
    judging = evaluate().judging
    assert judging is not None
    assert (judging.ties, judging.position_flips, judging.details.first_won) == (PAIRS, PAIRS, 1.0)


def test_answers_without_a_verdict_do_not_count_and_are_told(server: Server, evaluate: Callable[..., EvaluateResult]):
    server.answer = lambda _: (200, "I would rather not say.")
    result = evaluate()
    assert result.judging is not None
    assert result.judging.judged == 0
    assert next(check for check in result.checks if check.name == "judge_answers").count == 2 * PAIRS


def test_a_model_that_takes_no_temperature_is_asked_without(server: Server, evaluate: Callable[..., EvaluateResult]):
    def strict(asked: dict[str, Any]) -> tuple[int, str]:
        return (400, "Unsupported parameter: temperature") if "temperature" in asked else (200, "Verdict: tie")

    server.answer = strict
    judging = evaluate().judging
    assert judging is not None
    assert judging.ties == PAIRS


def test_several_models_ask_for_a_name_before_anything_is_measured(
    server: Server, evaluate: Callable[..., EvaluateResult]
):
    server.models = ["one", "two"]
    with pytest.raises(InputError, match="judge_model"):
        evaluate()
    assert server.asked == []
    assert evaluate(judge_model="two").judging is not None
    assert {one["model"] for one in server.asked} == {"two"}


def test_a_refusing_endpoint_is_told_without_its_key(server: Server, evaluate: Callable[..., EvaluateResult]):
    server.answer = lambda _: (401, f"no such key: {KEY}")
    with pytest.raises(RemoteError, match=r"no such key: \[key\]") as failed:
        evaluate()
    assert KEY not in str(failed.value)
    assert len(server.asked) == 1


def test_a_pair_that_the_provider_does_not_take_costs_that_pair_alone(
    server: Server, evaluate: Callable[..., EvaluateResult]
):
    def filtered(asked: dict[str, Any]) -> tuple[int, str]:
        return (400, "content filter") if len(server.asked) == 3 else (200, "Verdict: answer A")

    server.answer = filtered
    result = evaluate()
    assert result.judging is not None
    assert result.judging.judged == PAIRS - 1
    check = next(check for check in result.checks if check.name == "judge_answers")
    assert check.count == 1
    assert "1 of them were not taken" in check.details
    assert "content filter" in check.details


def test_an_endpoint_that_fails_half_way_is_asked_only_for_the_rest_after_a_resume(
    server: Server, evaluate: Callable[..., EvaluateResult]
):
    def tired(_: dict[str, Any]) -> tuple[int, str]:
        return (200, "Verdict: A") if len(server.asked) <= 5 else (402, "enough")

    server.answer = tired
    with pytest.raises(RemoteError, match="enough"):
        evaluate()
    refused = len(server.asked)
    server.answer = lambda _: (200, "Verdict: A")
    judging = evaluate().judging
    assert judging is not None
    assert judging.judged == PAIRS
    assert len(server.asked) - refused < 1 + 2 * PAIRS


def test_only_a_run_with_an_endpoint_sees_the_key(tmp_path: Path):
    asked = EvaluateRequest(model_name="x", data_path=tmp_path, output_dir=tmp_path)
    assert MODE.environment(asked) == ()
    assert "OPENAI_API_KEY" in MODE.environment(asked.model_copy(update={"judge": "endpoint"}))
