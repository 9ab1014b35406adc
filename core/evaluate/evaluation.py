"""The evaluation itself: read the rows, let both models work, compare, write down."""

import time

import orjson

from .. import files
from ..examples.types import Example, prompt_of
from ..models.source import hosted_id
from ..runs.active import ActiveRun
from ..runs.record import now
from ..untrusted import clean
from . import conclusions, items, scored, tables
from .findings import breakdown, copies, flips, one_label, overfitting, tool_calls
from .hosted.contest import HostedContest
from .judging import blind
from .judging.bill import JudgeBill
from .judging.endpoint import Endpoint
from .judging.votes import Ballots
from .local.contest import LocalContest
from .measured import Measured
from .request import EvaluateRequest
from .result import EvaluateResult, Sample
from .subject import Subject

SHOWN_CHARACTERS = 1_200


def run(request: EvaluateRequest, run: ActiveRun) -> EvaluateResult:
    """Measure and compare; leaves samples.jsonl in output_dir.

    Raises:
        FinetunerError: Data, model or benchmarks cannot be used; the error says which and why.
    """
    began = time.monotonic()
    run.stage("reading the held-out rows")
    contest = (LocalContest if hosted_id(request.model_name) is None else HostedContest)(request, run)
    subject = contest.subject
    result = _begun(request, subject)
    if request.dry_run:
        return _planned(result, request, contest)
    endpoint = Endpoint(request.judge_model, run.folder.path) if request.judge == "endpoint" else None
    sides = contest.measure()
    run.stage("comparing")
    base, finetuned = sides["base"], sides.get("finetuned")
    samples = _samples(subject, base, finetuned)
    _write_samples(request, samples)
    if finetuned is not None:
        items.write(run.folder.path, items.collect(subject, base, finetuned))
    found = breakdown.of(subject, base, finetuned, request.seed)
    learned = (
        *one_label.check(subject, finetuned, request.seed),
        *copies.check(subject, base, finetuned),
        *tool_calls.check(subject, base, finetuned),
        *overfitting.check(found.training),
    )
    fields = tables.fill(subject, base, finetuned, request) | {
        "breakdown": found,
        "samples": _shown(samples, subject, request),
        "samples_path": str(request.output_dir / "samples.jsonl"),
        "spent": contest.spent,
        "checks": (*contest.checks, *result.checks, *learned),
    }
    result = conclusions.draw(result.model_copy(update=fields), base, finetuned)
    if request.judge != "none":
        result = _judged(result, samples, request, run, endpoint)
    return result.model_copy(update={"seconds": round(time.monotonic() - began, 1)})


def _begun(request: EvaluateRequest, subject: Subject) -> EvaluateResult:
    """The result as it stands before anything is measured."""
    return EvaluateResult(
        model_name=request.model_name,
        finetuned_path=str(request.finetuned_path) if request.finetuned_path else None,
        data_path=str(request.data_path),
        evaluated_at=now(),
        rows=len(subject.examples),
        verdict=None,
        answer_kind=subject.choice.kind,
        answer_kind_reason=subject.choice.reason,
        regression_margin=request.regression_margin,
        max_new_tokens=subject.max_new_tokens,
        checks=subject.checks,
    )


def _planned(result: EvaluateResult, request: EvaluateRequest, contest: LocalContest | HostedContest) -> EvaluateResult:
    """The result of a dry run."""
    plan, checks = contest.plan(), (*contest.checks, *result.checks)
    if request.judge == "endpoint":
        bill = JudgeBill(request, contest.subject)
        plan, checks = bill.added_to(plan, hosted_id(request.model_name) is not None), (*checks, bill.check)
    return result.model_copy(update={"plan": plan, "checks": checks})


def _judged(
    result: EvaluateResult, samples: list[Sample], request: EvaluateRequest, run: ActiveRun, endpoint: Endpoint | None
) -> EvaluateResult:
    """The result with its pairs laid out, and judged already where a model does that."""
    docket = blind.begin(result, samples, request, run)
    if endpoint is None:
        return blind.settle(result, docket, Ballots(), None)
    ballots = endpoint.judge(docket, run)
    result = result.model_copy(update={"checks": (*result.checks, *endpoint.unclear(docket, ballots))})
    return blind.settle(result, docket, ballots, endpoint.spent)


def _samples(subject: Subject, base: Measured, finetuned: Measured | None) -> list[Sample]:
    return [
        Sample(
            prompt=_readable(subject.questions[row]),
            reference=subject.references[row],
            base=_said(subject, base, i),
            finetuned=_said(subject, finetuned, i) if finetuned else None,
            flip=flip,
        )
        for i, (row, flip) in enumerate(zip(subject.asked, flips.flips(subject, base, finetuned), strict=True))
    ]


def _said(subject: Subject, one: Measured, place: int) -> str:
    """An answer as people read it; where there are tools, with all that marks a call."""
    answer = one.answers[place]
    about_tools = subject.wanted(subject.asked[place])[1] is not None
    return scored.written(answer) if about_tools and not subject.reader.beside else answer.text


def _shown(samples: list[Sample], subject: Subject, request: EvaluateRequest) -> tuple[Sample, ...]:
    """Some drawn at random, then some of those that only one model got right; these alone say so."""
    drawn = [samples[i].model_copy(update={"flip": None}) for i in subject.shown]
    return tuple(map(_shortened, (*drawn, *flips.chosen(samples, request.samples, subject.shown))))


def _readable(example: Example) -> str:
    """The prompt as a person writes it: without the template's marks, roles only where there is more than one turn."""
    prompt = prompt_of(example)
    if isinstance(prompt, str):
        return prompt
    if len(prompt) == 1:
        return prompt[0].content
    return "\n".join(f"{message.role}: {message.content}" for message in prompt)


def _shortened(sample: Sample) -> Sample:
    texts = sample.model_dump(include={"prompt", "reference", "base", "finetuned"}, exclude_none=True)
    return sample.model_copy(update={name: clean(text, SHOWN_CHARACTERS) for name, text in texts.items()})


def _write_samples(request: EvaluateRequest, samples: list[Sample]) -> None:
    with files.atomic_writer(request.output_dir / "samples.jsonl") as file:
        for sample in samples:
            file.write(orjson.dumps(sample.model_dump()) + b"\n")
