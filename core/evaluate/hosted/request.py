"""What may be asked of hosted models: their answers, and what is computed from these."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import InputError
from ...models.hosted.answers import PLAIN
from ...models.hosted.environment import BASE_URL, KEY, base_url
from ...models.hosted.providers import provider_at
from ...models.source import HOSTED, hosted_id
from ...problems import Problems

if TYPE_CHECKING:
    from ..request import EvaluateRequest

OF_LIKELIHOODS = ("perplexity", "loss")


def resolve_models(request: "EvaluateRequest", problems: Problems) -> dict[str, object]:
    """Both models by their full names; what cannot be is added to the problems."""
    base = hosted_id(request.model_name)
    tuned = problems.attempt(lambda: _tuned(request.finetuned_path))
    for name, id_ in (("model_name", base), ("finetuned_path", tuned)):
        if id_ is not None and not PLAIN.fullmatch(id_):
            problems.add(f"{name}: there is no model id behind {HOSTED}", "Give it as the provider writes it.")
    if tuned is not None and tuned == base:
        problems.add("finetuned_path is the base itself.", "Give the tuned model's id, such as openai:ft:...")
    _refuse_what_needs_weights(request, problems)
    problems.attempt(lambda: provider_at(base_url()))
    if not request.dry_run and not os.environ.get(KEY):
        step = f"Start the server with {KEY} in its environment; {BASE_URL} names another provider than OpenAI."
        problems.add(f"Hosted models need {KEY}, which is not set.", step)
    return {"model_name": request.model_name, "finetuned_path": None if tuned is None else Path(HOSTED + tuned)}


def _tuned(path: Path | None) -> str | None:
    """The tuned model's id; beside a hosted base it needs no prefix."""
    if path is None:
        return None
    if path.is_absolute() or path.exists():
        raise InputError(
            f"finetuned_path '{path}' is a folder, but the base is a hosted model.",
            "Compare a hosted model with a hosted one: finetuned_path openai:ft:...",
        )
    return hosted_id(path) or str(path)


def _refuse_what_needs_weights(request: "EvaluateRequest", problems: Problems) -> None:
    asked = [name for name in request.metrics or () if name in OF_LIKELIHOODS]
    if asked:
        problems.add(
            f"metrics: no {' and no '.join(asked)}, since hosted models do not tell how likely given answers are.",
            "Leave metrics out to get the scores that fit the answers.",
        )
    if request.benchmarks:
        problems.add(
            "benchmarks: they need the weights of a model, which a hosted one keeps.",
            "Leave benchmarks out; the built-in questions are asked anyway.",
        )
