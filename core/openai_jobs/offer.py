"""Which models can be trained where, and until when.

Source of every date: developers.openai.com/api/docs/deprecations, read on 2026-11-22.
"""

from datetime import date

from pydantic import Field

from ..checks import Check, CheckStatus
from ..schema import Model
from ..untrusted import quote
from .request import Method

OWN_SERVICE = "https://api.openai.com"
LAST_NEW_JOB = date(2027, 1, 6)
"""From this day nobody can start a job any more; most organisations lost it on 2026-05-07 or 2026-07-02."""


class HostedModel(Model):
    """A model that the service has trained at some time."""

    alias: str
    """Name without a date, which the service takes for inference and refuses for training."""
    snapshot: str
    shut_down: date
    """Day on which the model and everything tuned from it stop answering."""
    methods: tuple[Method, ...]
    """Methods whose guide lists it."""
    context: int = Field(default=65_536)
    """Most tokens of one example; the rest is cut off without an error."""


END_OF_GPT_4 = date(2027, 1, 14)
MODELS = (
    HostedModel(alias="gpt-4.1", snapshot="gpt-4.1-2025-04-14", shut_down=END_OF_GPT_4, methods=("supervised", "dpo")),
    HostedModel(
        alias="gpt-4.1-mini", snapshot="gpt-4.1-mini-2025-04-14", shut_down=END_OF_GPT_4, methods=("supervised", "dpo")
    ),
    HostedModel(alias="gpt-4o", snapshot="gpt-4o-2024-08-06", shut_down=END_OF_GPT_4, methods=("supervised",)),
    HostedModel(
        alias="gpt-4o-mini", snapshot="gpt-4o-mini-2024-07-18", shut_down=END_OF_GPT_4, methods=("supervised",)
    ),
    HostedModel(
        alias="gpt-4.1-nano",
        snapshot="gpt-4.1-nano-2025-04-14",
        shut_down=date(2026, 10, 23),
        methods=("supervised", "dpo"),
        context=32_768,
    ),
    HostedModel(
        alias="o4-mini", snapshot="o4-mini-2025-04-16", shut_down=date(2026, 10, 23), methods=("reinforcement",)
    ),
    HostedModel(
        alias="gpt-3.5-turbo",
        snapshot="gpt-3.5-turbo-0125",
        shut_down=date(2026, 10, 23),
        methods=("supervised",),
        context=16_385,
    ),
)
BY_SNAPSHOT = {model.snapshot: model for model in MODELS}
ALIASES = {model.alias: model.snapshot for model in MODELS}
DEFAULT_CONTEXT = 65_536


def context_of(model: str | None) -> int:
    """Most tokens of one example for a model; the usual limit for an unknown one."""
    known = BY_SNAPSHOT.get(snapshot_of(model))
    return known.context if known else DEFAULT_CONTEXT


def snapshot_of(model: str | None) -> str:
    """The dated name behind an alias; other names, and those of tuned models, give their base unchanged."""
    name = model or ""
    if name.startswith("ft:"):  # ft:<base>:<organisation>:<suffix>:<id>: training goes on from a tuned model
        name = name.split(":")[1]
    return ALIASES.get(name, name)


def check_model(model: str, method: Method, base_url: str | None, today: date) -> Check:
    """Whether the service can be expected to train this model today, by this method."""
    if base_url and not base_url.startswith(OWN_SERVICE):
        return _check("pass", f"{quote(model)} is for another service than OpenAI's; its offer is not known here.")
    if model in ALIASES:
        return _check(
            "warn",
            f"{model} is an alias, and aliases are refused: «Model {model} is not available for fine-tuning».",
            f"Use the snapshot {ALIASES[model]}.",
        )
    known = BY_SNAPSHOT.get(snapshot_of(model))
    if known is None:
        names = ", ".join(m.snapshot for m in MODELS if m.shut_down > today) or "none is left"
        return _check("warn", f"{quote(model)} is not known to be trainable.", f"Known: {names}.")
    if today >= known.shut_down:
        return _check(
            "fail", f"{known.snapshot} was shut down on {known.shut_down}.", "Train an open model with `train`."
        )
    if method not in known.methods:
        offered = " and ".join(known.methods)
        return _check("warn", f"{known.snapshot} is not listed for {method}.", f"It is listed for {offered}.")
    return _check("pass", f"{known.snapshot} is a trainable snapshot; it is shut down on {known.shut_down}.")


def _check(status: CheckStatus, details: str, next_step: str | None = None) -> Check:
    return Check(name="Model", status=status, details=details, next_step=next_step)


def closing_warnings(base_url: str | None, today: date) -> tuple[str, ...]:
    """What to know about the end of the service's own fine-tuning; nothing for another service."""
    if base_url and not base_url.startswith(OWN_SERVICE):
        return ()
    if today >= LAST_NEW_JOB:
        return (f"OpenAI has accepted no new fine-tuning jobs since {LAST_NEW_JOB}. Train an open model with `train`.",)
    return (
        f"OpenAI is closing self-serve fine-tuning: no new jobs from {LAST_NEW_JOB}. Already refused are organisations "
        "that never fine-tuned (since 2026-05-07) and those that used no tuned model in the 60 days before 2026-07-02.",
        f"The gpt-4o and gpt-4.1 models and everything tuned from them stop answering on {END_OF_GPT_4}; the "
        "recommended replacement cannot be fine-tuned. An open model trained with `train` stays yours.",
    )
