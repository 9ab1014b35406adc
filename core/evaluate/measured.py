"""What one model did with the rows, the probes and the benchmarks; kept in the run folder so that a resume goes on."""

from pathlib import Path

from .. import files
from ..models.generate import Generation
from ..runs.active import ActiveRun
from ..schema import Model
from .benchmarks.harness import Benchmarks
from .benchmarks.scores import BenchmarkScore
from .contestants import Contestant, LoadedModel, OnDone, Side
from .local.likelihood import ItemLikelihood
from .local.subject import LocalSubject
from .local.told import OnTokens
from .probes import questions
from .probes.questions import ProbeAnswer


class Measured(Model):
    """One model's work, item by item, in the subject's order."""

    of: str = ""
    """Digest of the model's files and of the rows: either may have changed before a resume."""
    likelihoods: tuple[ItemLikelihood, ...]
    training: tuple[ItemLikelihood, ...] = ()
    """Of some rows that the fine-tuned model was trained on."""
    answers: tuple[Generation, ...]
    """For the rows in `Subject.asked`."""
    probes: tuple[ProbeAnswer, ...]
    benchmarks: tuple[BenchmarkScore, ...]


def measured(
    side: Side, contestant: Contestant, local: LocalSubject, benchmarks: Benchmarks | None, run: ActiveRun
) -> Measured:
    """Let one model do everything, or take what an earlier attempt of this run left of the same."""
    path, digest = run.folder.path / f"measured-{side}.json", local.digest(finetuned=side == "finetuned")
    if run.resume and (kept := _kept(path)) is not None and kept.of == digest:
        return kept
    subject, name = local.subject, "base" if side == "base" else "fine-tuned"
    trained = f" and {len(local.training)} training rows" if local.training else ""
    run.stage(f"{name}: likelihood of {len(local.tokenized)} rows{trained}")
    rows = (*local.tokenized, *local.training)
    scored = contestant.likelihoods(rows, _tell_tokens(run))
    run.stage(f"{name}: answering {len(subject.asked)} prompts")
    prompts = [subject.prompts[i] for i in subject.asked]
    answers = contestant.answers(prompts, subject.max_new_tokens, _tell(run, len(prompts), "answers"))
    run.stage(f"{name}: regression probes")
    probed = questions.ask(contestant, local.tokenizer, _tell(run, questions.count(), "questions"))
    scores: tuple[BenchmarkScore, ...] = ()
    if benchmarks is not None and isinstance(contestant, LoadedModel):  # a request for others' is refused
        run.stage(f"{name}: benchmarks {', '.join(benchmarks.names)}")
        scores = benchmarks.measure(contestant.model, side, _counting(_tell(run, None, "requests")))
    run.raise_if_stopped()
    held_out = len(local.tokenized)
    whole = Measured(
        of=digest,
        likelihoods=tuple(scored[:held_out]),
        training=tuple(scored[held_out:]),
        answers=tuple(answers),
        probes=probed,
        benchmarks=scores,
    )
    files.write_model(path, whole)
    return whole


def _kept(path: Path) -> Measured | None:
    try:
        return Measured.model_validate_json(path.read_bytes())
    except (OSError, ValueError):  # absent, or with a number that JSON does not have
        return None


def _tell(run: ActiveRun, total: int | None, unit: str) -> OnDone:
    def tell(done: int) -> None:
        run.raise_if_stopped()
        run.progress(done, total, unit)

    return tell


def _tell_tokens(run: ActiveRun) -> OnTokens:
    return lambda done, total: _tell(run, total, "tokens")(done)


def _counting(tell: OnDone) -> OnDone:
    """From how many were done by each batch to how many are done by now."""
    done = 0

    def add(more: int) -> None:
        nonlocal done
        done += more
        tell(done)

    return add
