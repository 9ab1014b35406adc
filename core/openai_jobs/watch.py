"""Watching a job to its end: status, events and metrics, through cut networks and statuses nobody has heard of."""

import base64
import binascii
import csv
import io
from datetime import UTC, datetime
from typing import Any

from ..errors import Cancelled, RemoteError
from ..files import append_model, atomic_writer, read_models
from ..models.hosted.answers import page
from ..models.hosted.faults import Busy, Unanswered, pause_before
from ..models.hosted.service import Service
from ..runs.active import ActiveRun
from ..untrusted import quote
from .answers import ENDED, KnownJob, numbers, read_event, read_known_job
from .memory import Memory
from .result import Event, HostedMetric, Job

EVENTS = "events.jsonl"
RESULT_FILES = "result_files"
MIN_WAIT_S, MAX_WAIT_S = 0.5, 20.0
WAIT_PER_AGE = 0.1  # a young job is asked about often, an old one seldom
MOST_PAGES = 100


class Watcher:
    """Follows one job, and keeps what it says in the run folder."""

    def __init__(self, service: Service, memory: Memory, run: ActiveRun) -> None:
        self._service, self._memory, self._run = service, memory, run
        self._path = run.folder.path / EVENTS
        self.events = read_models(self._path, Event)
        self.metrics = {m.step: m for event in self.events if (m := as_metric(event.metrics)) is not None}
        self.warnings: list[str] = []
        self._has_events = True

    def until_ended(self, job_id: str) -> KnownJob:
        """The job once it has ended; lost connections are waited out, since the job goes on without them.

        Raises:
            Cancelled: The run was stopped; the job goes on.
            RemoteError: The provider refuses to tell of the job.
        """
        began, lost = datetime.now(UTC), 0
        self._run.stage("watching the job")
        while True:
            self._raise_if_stopped(job_id)
            try:
                known = self._service.once(lambda client: client.fine_tuning.jobs.retrieve(job_id), read_known_job)
                self.take_events(job_id)
            except (Unanswered, Busy) as fault:
                lost += 1
                self._run.stage(f"no answer about the job for {lost} attempts; asking again: {fault.problem}"[:200])
                self._wait(job_id, pause_before(lost, fault))
                continue
            lost = 0
            if known.job.status in ENDED:
                return known
            self._tell(known.job)
            age = (datetime.now(UTC) - (known.created_at or began)).total_seconds()
            self._wait(job_id, min(MAX_WAIT_S, max(MIN_WAIT_S, age * WAIT_PER_AGE)))

    def take_events(self, job_id: str) -> None:
        """Fetch the events that are new, keep them, and pass their metrics on."""
        if not self._has_events:
            return
        known = {event.id for event in self.events}
        fresh: list[Event] = []
        try:
            for _ in range(MOST_PAGES):
                after: dict[str, Any] = {"after": fresh[-1].id} if fresh else {}
                found = self._service.once(
                    lambda client, after=after: client.fine_tuning.jobs.list_events(job_id, limit=100, **after),
                    lambda answer: page(answer, read_event, "event"),
                )
                news = [event for event in found if event.id not in known]
                fresh += news
                known |= {event.id for event in news}
                if len(found) < 100 or len(news) < len(found):
                    break
        except (Unanswered, Busy):
            raise
        except RemoteError as error:
            self._has_events = False
            self.warnings.append(f"Events could not be read: {error.problem}")
        for event in reversed(fresh):  # newest first is how they come
            self._keep(event)

    def _keep(self, event: Event) -> None:
        append_model(self._path, event)
        self.events.append(event)
        metric = as_metric(event.metrics)
        if metric is not None and metric.step not in self.metrics:
            self._take(metric)

    def _take(self, metric: HostedMetric) -> None:
        self.metrics[metric.step] = metric
        self._run.metric(metric.model_dump(exclude_none=True))

    def take_result_files(self, known: KnownJob) -> list[str]:
        """Keep the job's result files in the run folder, and take the metrics that no event brought."""
        kept = []
        for file_id in known.result_files:
            path = self._run.folder.path / RESULT_FILES / f"{_safe(file_id)}.csv"
            try:
                content = self._service.ask(
                    lambda client, file_id=file_id: client.files.content(file_id), lambda answer: answer.read()
                )
            except RemoteError as error:
                self.warnings.append(f"Result file {quote(file_id)} could not be fetched: {error.problem}")
                continue
            content = _plain(content)
            with atomic_writer(path) as file:
                file.write(content)
            kept.append(str(path))
            for metric in sorted(read_csv(content), key=lambda metric: metric.step):
                if metric.step not in self.metrics:
                    self._take(metric)
        return kept

    def _tell(self, job: Job) -> None:
        said = {event.metrics["total_steps"] for event in self.events if "total_steps" in event.metrics}
        total = job.total_steps or max(said, default=None)
        done = job.trained_steps or max(self.metrics, default=0)
        end = f", ends about {job.finishes_at:%Y-%m-%d %H:%M} UTC" if job.finishes_at else ""
        message = f"job {quote(job.id)} at {self._service.host}: {quote(job.status)}{end}"
        self._run.progress(done, total, "steps" if total else "", message)

    def _wait(self, job_id: str, seconds: float) -> None:
        self._raise_if_stopped(job_id)
        try:
            self._run.sleep(seconds)
        finally:
            self._raise_if_stopped(job_id)

    def _raise_if_stopped(self, job_id: str) -> None:
        if self._run.stop_requested:
            raise Cancelled(
                f"The run was stopped on request; job {job_id} goes on at {self._service.provider.name}, and costs.",
                f"Stop it with `openai`, action cancel and job_id {job_id}; watch it again with `runs`, action resume.",
            )


def as_metric(found: dict[str, float]) -> HostedMetric | None:
    """The metrics of one step, by the names that providers give them; None when there is no step or nothing else."""
    if "step" not in found:
        return None

    def first(*names: str) -> float | None:
        return next((found[name] for name in names if name in found), None)

    metric = HostedMetric(
        step=int(found["step"]),
        train_loss=first("train_loss"),
        val_loss=first("full_valid_loss", "valid_loss", "eval_loss"),
        train_accuracy=first("train_mean_token_accuracy", "train_accuracy"),
        val_accuracy=first("full_valid_mean_token_accuracy", "valid_mean_token_accuracy", "valid_accuracy"),
    )
    return metric if len(metric.model_dump(exclude_none=True)) > 1 else None


def read_csv(content: bytes) -> list[HostedMetric]:
    """The metrics in a result file; none when it is no table with a step."""
    rows = csv.DictReader(io.StringIO(content.decode("utf-8", "replace")))
    found = [as_metric(numbers({name: _number(value) for name, value in row.items() if name})) for row in rows]
    return [metric for metric in found if metric is not None]


def _number(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None


def _plain(content: bytes) -> bytes:
    """The table itself: OpenAI sends it in base64."""
    try:
        return base64.b64decode(content, validate=True) if b"," not in content else content
    except (binascii.Error, ValueError):
        return content


def _safe(name: str) -> str:
    return "".join(sign if sign.isalnum() or sign in "-_" else "_" for sign in name)[:80]
