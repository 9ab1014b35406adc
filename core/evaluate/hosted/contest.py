"""Hosted models as contestants: both are asked everything once, in one manner, and paid for once."""

import contextlib
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from ... import files
from ...checks import Check, quoting
from ...errors import RemoteError
from ...models.generate import Generation
from ...models.hosted import chat
from ...models.hosted.environment import base_url, host_of
from ...models.hosted.faults import NOT_TAKEN, Rejected
from ...models.hosted.parallel import in_parallel
from ...models.hosted.providers import provider_at
from ...models.hosted.service import Service
from ...models.hosted.tokens import example_tokens, token_counter
from ...models.source import hosted_id
from ...personal.leaving import found_in
from ...runs.active import ActiveRun
from ...schema import Model
from ...untrusted import quote
from ..contestants import Side
from ..measured import Measured
from ..meter import Meter
from ..reporting import wording
from ..request import EvaluateRequest
from ..result import Plan, Spent
from . import letters
from .subject import read_hosted

ANSWER_WITHIN_S = 120.0


class Answer(Model):
    """What one model answered to one question; a line of asked-<side>.jsonl in the run folder."""

    question: int
    asked: str = ""
    """Digest of the question: the data may have changed before a resume."""
    text: str
    calls: str | None = None
    """The tool calls beside the text, as JSON; None without any."""
    cut: bool = False
    refused: bool = False
    not_taken: str | None = None
    """Why the provider did not take the question."""
    tokens: int
    """Its length; counted here where the provider does not tell it."""

    @property
    def said(self) -> str:
        """The text, and the calls behind it."""
        return "\n".join(filter(None, [self.text, self.calls]))


class HostedContest:
    """Base and fine-tuned model, and what they are asked.

    Attributes:
        subject: The rows.
        spent: What asking took, in earlier attempts of the run, too; None before anything is asked.
    """

    spent: Spent | None = None

    def __init__(self, request: EvaluateRequest, run: ActiveRun) -> None:
        self._run = run
        self._models: dict[Side, str] = {"base": str(hosted_id(request.model_name))}
        if request.finetuned_path is not None:
            self._models["finetuned"] = str(hosted_id(request.finetuned_path))
        self._provider, self._host = provider_at(base_url()), host_of(base_url())
        self._counter = token_counter()
        self._meter = Meter(run.folder.path / "paid-answers.jsonl", self._provider)
        self.subject = read_hosted(request, self._counter)
        rows = [json.loads(self.subject.prompts[i]) for i in self.subject.asked]
        self._questions: list[dict[str, Any]] = [*rows, *letters.conversations()]
        self._answers: dict[Side, list[Answer]] = {}

    @property
    def checks(self) -> tuple[Check, ...]:
        """What leaves, what it costs, what was refused; and why there are no likelihoods."""
        no_likelihoods = "Perplexity and loss are null: hosted models do not tell how likely given answers are."
        return (
            Check(name="likelihoods", status="pass", details=no_likelihoods),
            self._leaving(),
            self._bill(),
            *(self._refusals() if self._answers else ()),
        )

    def plan(self) -> Plan:
        """What asking would take at most."""
        read, written = self._expected()
        return Plan(
            rows=len(self.subject.examples),
            scored_tokens=read * len(self._models),
            generated_tokens=written * len(self._models),
            memory_bytes=None,
            seconds=None,
            usd=self._usd(),
        )

    def measure(self) -> dict[Side, Measured]:
        """Ask both models everything; what an earlier attempt of the run has asked is not asked again.

        Raises:
            RemoteError: The provider refuses or fails, after further attempts where that is safe.
        """
        with contextlib.closing(Service(ANSWER_WITHIN_S, sleep=self._run.sleep)) as service:
            self._run.stage(f"asking {self._host} for a word of each model")
            models, limit = list(self._models.values()), self.subject.max_new_tokens
            manner = chat.agree(service, models, limit, self._meter.note)
            settings = manner.arguments(limit)
            for side in self._models:
                self._answers[side] = self._ask_all(side, service, settings)
        self.spent = self._meter.spent()
        return {side: self._measured(answers) for side, answers in self._answers.items()}

    def _ask_all(self, side: Side, service: Service, settings: dict[str, Any]) -> list[Answer]:
        path = self._run.folder.path / f"asked-{side}.jsonl"
        digests = list(map(_digest, self._questions))
        kept = (one for one in files.read_models(path, Answer) if one.question < len(digests))
        known = {one.question: one for one in kept if one.asked == digests[one.question]}
        left = [number for number in range(len(self._questions)) if number not in known]
        self._run.stage(f"{'base' if side == 'base' else 'fine-tuned'}: answering {len(left)} prompts at {self._host}")
        answered = in_parallel(lambda number: self._ask(self._models[side], number, service, settings), left)
        for number, answer in answered:
            known[number] = answer.model_copy(update={"asked": digests[number]})
            files.append_model(path, known[number])
            self._run.raise_if_stopped()
            self._run.progress(len(known), len(self._questions), "answers")
        answers = [known[number] for number in range(len(self._questions))]
        reasons = [answer.not_taken for answer in answers[: len(self.subject.asked)]]
        if reasons and all(reasons):
            raise RemoteError(f"The provider takes none of the prompts: {reasons[0]}", "Change what it names.")
        return answers

    def _ask(self, model: str, number: int, service: Service, settings: dict[str, Any]) -> Answer:
        question = self._questions[number]
        given = _without_messages(question) | settings
        try:
            reply = chat.ask(service, model, question["messages"], self._meter.note, **given)
        except Rejected as refusal:
            if refusal.status not in NOT_TAKEN:
                raise
            return Answer(question=number, text="", refused=True, not_taken=refusal.problem, tokens=0)
        calls = json.dumps(reply.tool_calls) if reply.tool_calls else ""
        return Answer(
            question=number,
            text=reply.text,
            calls=calls or None,
            cut=reply.cut,
            refused=reply.refused,
            tokens=reply.usage.written_tokens if reply.usage else self._counter.count(reply.text + calls),
        )

    def _measured(self, answers: Sequence[Answer]) -> Measured:
        rows = len(self.subject.asked)
        return Measured(
            likelihoods=(),
            answers=tuple(
                Generation(one.said, not one.cut, one.tokens, refused=one.refused, raw=one.calls)
                for one in answers[:rows]
            ),
            probes=letters.graded([one.text for one in answers[rows:]]),
            benchmarks=(),
        )

    def _expected(self) -> tuple[int, int]:
        """Tokens that one model may read and write at most."""
        read = sum(example_tokens(question, self._counter.at_most) for question in self._questions)
        return read, len(self._questions) * self.subject.max_new_tokens

    def _usd(self) -> float | None:
        """What that costs for all models; None when the price of one is not known."""
        parts = [self._provider.usd(model, *self._expected()) for model in self._models.values()]
        known = [part for part in parts if part is not None]
        return round(sum(known), 4) if len(known) == len(parts) else None

    def _leaving(self) -> Check:
        """What goes to the provider, and what in it should perhaps stay."""
        found = found_in(self._questions)
        sent = f"The prompts of {len(self.subject.asked):,} rows go to {self._host}; recognised in them: "
        if not found:
            details = sent + "no personal data and no secrets. Names of people are not looked for."
            return Check(name="leaving", status="pass", details=details, count=0)
        kinds = found.personal | found.secrets
        details = sent + ", ".join(f"{count:,} {kind}" for kind, count in kinds.items()) + "."
        step = "Run `prepare` with pii: redact on the raw data, and measure on its valid.jsonl."
        return Check(name="leaving", status="warn", details=details, count=sum(kinds.values()), next_step=step)

    def _bill(self) -> Check:
        """Requests, tokens and money: expected before anything is asked, as the answers tell it after."""
        requests = len(self._questions) * len(self._models)
        details = (
            f"{requests:,} requests to {self._host}, {len(self.subject.asked):,} rows and "
            f"{len(letters.conversations())} built-in questions for each model, "
        )
        details += self._took(self.spent) if self.spent else self._at_most()
        return Check(name="requests", status="pass", details=details, count=requests)

    def _took(self, spent: Spent) -> str:
        how = "estimated from letters" if self._counter.estimated_because else "counted"
        lengths = f" The length of an answer without such a number is {how} here." if spent.unreported else ""
        return f"took {wording.spent(spent)}{lengths}"

    def _at_most(self) -> str:
        read, written = (tokens * len(self._models) for tokens in self._expected())
        usd, because = self._usd(), self._counter.estimated_because
        price = "at a price that is not known here"
        if usd is not None:
            price = f"at most {wording.dollars(usd, self._provider.as_of)}"
        estimated = f" The tokens are estimated from letters, since {because}." if because else ""
        return f"take at most {read:,} tokens read and {written:,} written, {price}.{estimated}"

    def _refusals(self) -> tuple[Check, ...]:
        rows = len(self.subject.asked)
        refused = {side: [one for one in answers[:rows] if one.refused] for side, answers in self._answers.items()}
        total = sum(map(len, refused.values()))
        if not total:
            return (Check(name="refusals", status="pass", details="No prompt was refused.", count=0),)
        counts = " and ".join(
            f"{len(found)} by the {'base' if side == 'base' else 'fine-tuned model'}" for side, found in refused.items()
        )
        first = next(one for found in refused.values() for one in found)
        details = f"Of {rows} prompts, {counts} were refused, which counts as an answer."
        details = quoting(details, first.not_taken or quote(first.text, 200))
        step = "Read them in samples.jsonl; leave out the rows that are refused for what they ask."
        return (Check(name="refusals", status="warn", details=details, count=total, next_step=step),)


def _digest(question: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:16]


def _without_messages(question: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in question.items() if name != "messages"}
