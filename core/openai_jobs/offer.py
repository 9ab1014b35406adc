"""Whether a provider can be expected to train a model, and what to know before it is asked."""

from datetime import date

from ..checks import Check, CheckStatus
from ..models.hosted.environment import host_of
from ..models.hosted.providers import Method, Provider, base_of
from ..untrusted import quote

LOOPBACK = ("localhost", "127.0.0.1", "::1", "[::1]")


def check_model(model: str, method: Method, provider: Provider, today: date) -> Check:
    """Whether the provider can be expected to train this model today, by this method."""
    if not provider.models:
        return _check("pass", f"Which models {provider.name} trains is not known here; it will say so itself.")
    known = provider.model(model)
    if known is None:
        open_today = [one.name for one in provider.models if one.shut_down is None or one.shut_down > today]
        names = ", ".join(open_today) or "none is left"
        return _check("warn", f"{quote(model)} is not known to be trainable.", f"Known: {names}.")
    if base_of(model) == known.alias:
        return _check(
            "fail",
            f"{known.alias} is an alias, and aliases are refused: «Model {known.alias} is not available for "
            "fine-tuning».",
            f"Use the snapshot {known.name}.",
        )
    if known.shut_down and today >= known.shut_down:
        return _check("fail", f"{known.name} was shut down on {known.shut_down}.", "Train an open model with `train`.")
    if known.methods and method not in known.methods:
        return _check(
            "warn", f"{known.name} is not listed for {method}.", f"It is listed for {' and '.join(known.methods)}."
        )
    end = f"; it is shut down on {known.shut_down}" if known.shut_down else ""
    return _check("pass", f"{known.name} is a trainable snapshot{end}.")


def check_provider(provider: Provider, method: Method, today: date) -> Check:
    """Whether the provider takes new jobs of this method."""
    if provider.last_new_job and today >= provider.last_new_job:
        details = f"{provider.name} has accepted no new fine-tuning jobs since {provider.last_new_job}."
        step = "Train an open model with `train`, or name another provider by OPENAI_BASE_URL."
        return _check("fail", details, step, "Provider")
    if provider.methods and method not in provider.methods:
        details = f"{provider.name} is not known to train by {method}, only by {' and '.join(provider.methods)}."
        return _check("warn", details, "Use one of these methods.", "Provider")
    if not provider.is_known:
        details = f"{provider.name} is not in the providers file: its limits, models and prices are unknown."
        return _check("warn", details, "Read its own pages, or describe it in a providers file.", "Provider")
    return _check("pass", f"{provider.name}, as known on {provider.as_of}.", None, "Provider")


def _check(status: CheckStatus, details: str, next_step: str | None = None, name: str = "Model") -> Check:
    return Check(name=name, status=status, details=details, next_step=next_step)


def warnings_about(provider: Provider, url: str, today: date) -> tuple[str, ...]:
    """What to know of the provider and of the way to it; nothing more of one that has closed."""
    if provider.last_new_job and today >= provider.last_new_job:
        return ()
    host = host_of(url)
    plain = url.startswith("http://") and host.rsplit(":", 1)[0] not in LOOPBACK
    unsafe = (f"{host} is reached without TLS: the key and the data can be read on the way.",) if plain else ()
    return (*provider.notices, *unsafe)
