"""Which base a QLoRA adapter is merged into: the 16-bit one, or the one it was trained on, which went through NF4.

The first has lost nothing to rounding, the second is what the adapter learned to correct; which serves better differs
from model to model, so both are asked for the held-out rows.
"""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..checks import Check
from ..runs.active import ActiveRun
from .job import Job
from .probes import Probes
from .result import Measured
from .unmerged import Arithmetic, Unmerged
from .verify import Said, ask

ROWS = 32
"""Rows compared: the difference of two losses needs more of them than the proof of a merge."""

ORIGINAL, DEQUANTIZED = "adapter on the 16-bit base", "adapter on the 4-bit base, as trained"


@dataclass(frozen=True)
class Choice:
    """The job with its base settled."""

    job: Job
    check: Check | None = None
    measured: tuple[Measured, ...] = ()


def settle_base(job: Job, rows: Callable[[], Probes], arithmetic: Arithmetic, run: ActiveRun) -> Choice:
    """Decide what a QLoRA adapter goes into; any other adapter goes into the base as it is."""
    asked = job.request.quantized_base
    if job.method != "shards" or not (job.is_qlora or asked == "dequantized"):
        return Choice(job)
    if asked != "auto" or not job.request.verify:
        return Choice(_into(job, asked == "dequantized"), _told(asked == "dequantized"))
    probes = rows()
    run.stage("asking the adapter on the 4-bit and on the 16-bit base")
    said = {name: ask(_unmerged(job, name).load(arithmetic, job.settings), probes) for name in (ORIGINAL, DEQUANTIZED)}
    verdict = choose(said[ORIGINAL], said[DEQUANTIZED])
    kl = said[ORIGINAL].divergence_from(said[DEQUANTIZED])
    measured = (
        Measured(model=ORIGINAL, loss=said[ORIGINAL].loss, mean_kl=kl),
        Measured(model=DEQUANTIZED, loss=said[DEQUANTIZED].loss, mean_kl=None),
    )
    details = (
        f"Trained on the 4-bit base (QLoRA). On {len(probes.probes)} {probes.source} the loss is "
        f"{said[ORIGINAL].loss:.4f} on the 16-bit base and {said[DEQUANTIZED].loss:.4f} on the 4-bit one "
        f"(KL {kl:.2e} nats apart). Merged into the {verdict.kept} base: {verdict.reason}."
    )
    check = Check(name="qlora_base", status="pass", details=details)
    return Choice(_into(job, verdict.kept == "dequantized"), check, measured)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The better base, and why."""

    kept: str
    reason: str


def choose(original: Said, dequantized: Said) -> Verdict:
    """The base with the lower loss; the one that was trained on where they differ by less than their standard error."""
    rows = zip(original.losses, dequantized.losses, strict=True)
    differences = [one - other for one, other in rows]
    error = statistics.stdev(differences) * math.sqrt(len(differences)) if len(differences) > 1 else math.inf
    if abs(sum(differences)) < error:
        return Verdict("dequantized", "their losses differ by less than the standard error, and it was trained on")
    if sum(differences) < 0:
        return Verdict("original", "its loss is lower")
    return Verdict("dequantized", "its loss is lower")


def _into(job: Job, dequantized: bool) -> Job:
    return replace(job, first_quantised=job.names.linear_in_nf4()) if dequantized else job


def _unmerged(job: Job, name: str) -> Unmerged:
    return replace(job.unmerged, nf4=name == DEQUANTIZED)


def _told(dequantized: bool) -> Check:
    into = "the dequantised 4-bit base, as it was trained" if dequantized else "the 16-bit base, not the 4-bit one"
    return Check(
        name="qlora_base",
        status="warn",
        details=f"The QLoRA adapter goes into {into}; the other way was not measured.",
        next_step="Leave quantized_base at auto and verify on to have both measured on held-out rows.",
    )
