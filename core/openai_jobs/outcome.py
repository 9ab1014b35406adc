"""What came of a job: its tuned model and how to ask it, its checkpoints, its cost."""

import json
import shlex

from ..models.hosted.answers import page
from ..models.hosted.environment import KEY
from ..models.hosted.providers import Provider
from ..models.hosted.service import Service
from .answers import read_checkpoint
from .result import HostedCheckpoint, Job, TunedModel


def tuned_model(job: Job, provider: Provider, address: str) -> TunedModel | None:
    """How to use a job's model, once it has one."""
    if job.finetuned_model is None:
        return None
    known = provider.model(job.finetuned_model) or provider.model(job.model)
    asked = {"model": job.finetuned_model, "messages": [{"role": "user", "content": "Hello."}]}
    headers = f'-H "Authorization: Bearer ${KEY}" -H "Content-Type: application/json"'
    return TunedModel(
        name=job.finetuned_model,
        base_url=address,
        input_usd=known.input_usd if known else None,
        output_usd=known.output_usd if known else None,
        shut_down=known.shut_down if known else None,
        call=f"curl {address}/chat/completions {headers} -d {shlex.quote(json.dumps(asked))}",
    )


def checkpoints(service: Service, job_id: str) -> tuple[HostedCheckpoint, ...]:
    """The job's checkpoints, newest first.

    Raises:
        RemoteError: The provider has none to tell of, or does not answer.
    """
    return tuple(
        service.ask(
            lambda client: client.fine_tuning.jobs.checkpoints.list(job_id, limit=100),
            lambda answer: page(answer, read_checkpoint, "checkpoint"),
        )
    )


def cost_usd(job: Job, provider: Provider, model: str | None) -> float | None:
    """What the trained tokens cost by the table of prices; None when price or tokens are not known."""
    known = provider.model(model)
    price = known.training_usd if known else None
    return None if price is None or job.trained_tokens is None else round(job.trained_tokens * price / 1e6, 4)
