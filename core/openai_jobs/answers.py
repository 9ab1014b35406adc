"""What a provider says of jobs, their events and checkpoints."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ..models.hosted.answers import PLAIN, fields, plain_text
from ..untrusted import clean
from .result import Event, HostedCheckpoint, Job

ENDED = ("succeeded", "failed", "cancelled")
"""Any other status, known or not, is of a job that goes on."""
MESSAGE_LETTERS = 600


@dataclass(frozen=True)
class KnownJob:
    """A job, and what of it matters here alone."""

    job: Job
    created_at: datetime | None
    finished_at: datetime | None
    training_file: str | None
    request_id: str | None
    """The run that created it."""
    result_files: tuple[str, ...]

    @property
    def took_s(self) -> float | None:
        """From its creation to its end."""
        if self.created_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.created_at).total_seconds()


def read_job(answer: object) -> Job:
    """A fine-tuning job.

    Raises:
        Malformed: It has no id or no status.
    """
    return read_known_job(answer).job


def read_known_job(answer: object) -> KnownJob:
    """A fine-tuning job with all that is read of it.

    Raises:
        Malformed: It has no id or no status.
    """
    found = fields(answer, "job")
    metadata = found.get("metadata")
    files = found.get("result_files")
    job = Job(
        id=plain_text(found, "id", "job"),
        status=plain_text(found, "status", "job"),
        model=_name(found.get("model")),
        finetuned_model=_name(found.get("fine_tuned_model")),
        trained_tokens=_count(found.get("trained_tokens")),
        finishes_at=_moment(found.get("estimated_finish")),
        error=_error(found.get("error")),
        trained_steps=_count(found.get("trained_steps")),
        total_steps=_count(found.get("total_steps")),
    )
    return KnownJob(
        job=job,
        created_at=_moment(found.get("created_at")),
        finished_at=_moment(found.get("finished_at")),
        training_file=_name(found.get("training_file")),
        request_id=_name(metadata.get("request_id")) if isinstance(metadata, dict) else None,
        result_files=tuple(str(name) for name in files) if isinstance(files, list) else (),
    )


def read_event(answer: object) -> Event:
    """An event of a job.

    Raises:
        Malformed: It has no id.
    """
    found = fields(answer, "event")
    return Event(
        id=plain_text(found, "id", "event"),
        created_at=_moment(found.get("created_at")),
        level=clean(str(found.get("level") or "info"), 20),
        message=clean(str(found.get("message") or ""), MESSAGE_LETTERS),
        metrics=numbers(found.get("data")),
    )


def read_checkpoint(answer: object) -> HostedCheckpoint:
    """A checkpoint of a job.

    Raises:
        Malformed: It has no id.
    """
    found = fields(answer, "checkpoint")
    return HostedCheckpoint(
        id=plain_text(found, "id", "checkpoint"),
        model=_name(found.get("fine_tuned_model_checkpoint")),
        step=_count(found.get("step_number")),
        metrics=numbers(found.get("metrics")),
    )


def numbers(data: object) -> dict[str, float]:
    """The finite numbers among some values, by their names; none of anything else."""
    values: dict[Any, Any] = data if isinstance(data, dict) else {}
    return {
        clean(str(name), 60): float(value)
        for name, value in values.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    }


def _name(value: object) -> str | None:
    return value if isinstance(value, str) and PLAIN.fullmatch(value) else None


def _count(value: object) -> int | None:
    return int(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _moment(value: object) -> datetime | None:
    try:
        return datetime.fromtimestamp(float(value), UTC) if isinstance(value, (int, float)) and value > 0 else None
    except (OverflowError, ValueError, OSError):
        return None


def _error(value: object) -> str | None:
    """The provider's reason in one line; an error without a word is none."""
    if not isinstance(value, dict):
        return None
    parts = [str(value[name]) for name in ("code", "param", "message") if value.get(name)]
    return clean(": ".join(parts), MESSAGE_LETTERS) if parts else None
