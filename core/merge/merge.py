"""The merge run: plan, preflight, merge, prove, export."""

import shutil
from pathlib import Path
from typing import Any

from .. import files
from ..examples.chat import ChatTokenizer
from ..runs.active import ActiveRun
from ..settings import Settings
from . import base_choice, in_memory, memory, preflight, shards, upload
from .expectation import expect
from .findings import adapter_check, combination_check, unlike, verification_check
from .job import job_checks, read_job
from .preflight import Disk
from .probes import MOST_COMPARED, PROBES, Probes, collect
from .request import CARD, MERGED, MergeRequest
from .result import Measured, MergedFile, MergePlan, MergeResult
from .shipping import Shipped, ship
from .surroundings import ConfigChange, beside_weights, copy_surroundings
from .verify import Reference, Said, arithmetic_for, ask, compare, measure_reference, reload
from .work import Work


def run(request: MergeRequest, run: ActiveRun) -> MergeResult:
    """Merge, prove and export what the request names.

    Raises:
        ModelError: Base and adapter cannot be merged, or the architecture cannot be exported.
        ExportError: The merged model did not prove itself, or a file could not be written; nothing of it stays.
        MissingExtraError: A program or package is missing.
        Cancelled: The run was asked to stop.
    """
    settings = Settings.from_environment()
    run.stage("reading base and adapter")
    job = read_job(request, settings)
    grown_to = job.plan.vocabulary(job.base)
    work = Work(job, run, job_checks(job) + preflight.tokenizer_checks(job.base, job.adapter_folder, grown_to))
    if request.verify or request.gguf:
        ChatTokenizer.load(work.trained_with)  # told now rather than once all is merged
    layout = shards.lay_out(job.base, job.plan, job.recipe.dtype, job.max_shard_bytes)
    space = preflight.disk(job, layout.total_bytes)
    if request.dry_run:
        return _planned(work, space, layout)
    if request.upload_to:
        run.stage("looking whether the model hub would take it")
        upload.refuse_public(request.upload_to)
    tools = preflight.prepare_export(request, job.base, settings)
    preflight.refuse_full_disk(space, request.output_dir)
    run.output_dir.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(run.output_dir)
    if job.adapters:
        _merge(work, layout)
    elif request.verify and request.gguf:
        _expect(work, reload(job.base.folder, arithmetic_for(job.base), settings))
    return _result(work, ship(work, tools))


def _remove_leftovers(output_dir: Path) -> None:
    """What a killed attempt has left: folders that only this mode makes, and only one run writes here at a time."""
    for pattern in (f".{MERGED}.*.tmp", f".{MERGED}.*.old", ".gguf.*.tmp"):
        for folder in output_dir.glob(pattern):
            shutil.rmtree(folder, ignore_errors=True)


def _merge(work: Work, layout: shards.Layout) -> None:
    _settle_base(work)
    job = work.job
    target = job.request.output_dir / MERGED
    with files.atomic_folder(target) as fresh:
        unties = _write_weights(work, layout, fresh)
        change = ConfigChange(job.dtype, unties, job.plan.vocabulary(job.base))
        work.checks.append(copy_surroundings(job.base, job.adapter_folder, fresh, change))
        if job.request.verify:
            _prove(work, fresh)
        files.write_text(fresh / CARD, work.card())
    work.merged = target


def _write_weights(work: Work, layout: shards.Layout, folder: Path) -> bool:
    """Write the merged weights; whether tied layers came apart."""
    job, run = work.job, work.run
    run.stage("merging")
    if job.method == "in_memory":
        (entry,) = job.adapters  # several that are no plain sums were refused
        return in_memory.write_with_peft(
            job.base.folder, entry.adapter, folder, job.dtype, job.max_shard_bytes, job.settings
        )

    def on_bytes(done: int, total: int) -> None:
        run.raise_if_stopped()
        run.progress(done / 1e6, total / 1e6, "MB", "merging")

    shards.write_merged(job.recipe, job.plan, layout, folder, on_bytes)
    return job.plan.unties


def _settle_base(work: Work) -> None:
    """For a QLoRA adapter: decide between the 16-bit base and the one that was trained on."""
    job = work.job

    def rows() -> Probes:
        return collect(work.chat, job.training, job.request.data_path, base_choice.ROWS)

    choice = base_choice.settle_base(job, rows, arithmetic_for(job.base), work.run)
    work.job = choice.job
    work.measured += choice.measured
    work.checks += [choice.check] if choice.check else []


def _prove(work: Work, folder: Path) -> None:
    """Reload what was written and compare; also lets it answer what the GGUF files will be asked."""
    job, run = work.job, work.run
    arithmetic = arithmetic_for(job.base, job.plan if job.recipe.only_sums and not job.first_quantised else None)
    count = MOST_COMPARED if job.request.data_path and not arithmetic.from_disk else PROBES
    probes = collect(ChatTokenizer.load(folder), job.training, job.request.data_path, count)
    run.stage("asking base + adapter")
    unmerged = job.unmerged
    rounded_to = None if job.plan.unties or unmerged.nf4 else job.dtype
    reference = measure_reference(unmerged, probes, arithmetic, rounded_to, job.settings)
    if reference.adapter_kl == 0:
        raise shards.no_op()
    run.raise_if_stopped()
    run.stage("comparing the merged model with base + adapter")
    merged = reload(folder, arithmetic, job.settings)
    compared = compare(reference, merged, job.dtype)
    found = compared.verification
    if found.status == "fail":
        raise unlike(found)
    work.verification = found
    work.checks += [verification_check(found), adapter_check(found)]
    measured = _on_these_rows(work, reference, compared.said)
    work.measured += measured
    if len(measured) > 2:
        work.checks.append(combination_check(measured, probes))
    if job.request.gguf:
        _expect(work, merged, probes if arithmetic.from_disk else None)


def _expect(work: Work, model: Any, few: Probes | None = None) -> None:
    """Let the merged model itself say what its GGUF files will be asked: many rows, or the given few."""
    job, chat = work.job, work.chat
    work.run.stage("asking the model what its GGUF files will be asked")
    work.rows = few or collect(chat, job.training, job.request.data_path, MOST_COMPARED)
    work.expectation = expect(model, chat, work.rows)


def _on_these_rows(work: Work, reference: Reference, merged: Said) -> list[Measured]:
    """Base, each of several adapters alone, and the merged model, on the same rows."""
    job, truth = work.job, reference.said
    measured = [Measured(model="base", loss=reference.base.loss, mean_kl=reference.base.divergence_from(truth))]
    several = len(job.adapters) > 1 and not reference.arithmetic.from_disk
    for entry in job.adapters if several else ():
        work.run.stage(f"asking {entry.adapter.folder.name} alone")
        said = ask(job.unmerged.alone(entry, reference.arithmetic, job.settings), reference.probes)
        name = f"{entry.adapter.folder.parent.name}/{entry.adapter.folder.name} alone"
        measured.append(Measured(model=name, loss=said.loss, mean_kl=said.divergence_from(truth)))
    return [*measured, Measured(model="merged", loss=merged.loss, mean_kl=merged.divergence_from(truth))]


def _result(work: Work, shipped: Shipped) -> MergeResult:
    merged = sorted(work.merged.iterdir()) if work.merged else ()
    return _outcome(work).model_copy(
        update={
            "merged_path": work.merged,
            "files": tuple(MergedFile(path=path, bytes=path.stat().st_size) for path in merged),
            "verification": work.verification,
            "measured": tuple(work.measured),
            "exports": shipped.exports,
            "modelfile_path": shipped.modelfile,
            "deploy": shipped.deploy,
            "upload": shipped.upload,
        }
    )


def _planned(work: Work, space: Disk, layout: shards.Layout) -> MergeResult:
    job = work.job
    sizes = [sum(entry.bytes for entry in shard) for shard in layout.shards]
    weights = [(layout.file_name(number), size) for number, size in enumerate(sizes)]
    going = (
        upload.planned(work, weights, beside_weights(job.base, job.adapter_folder)) if job.request.upload_to else None
    )
    work.checks += preflight.missing_tools(job.request, job.settings)
    plan = MergePlan(
        disk_needed_bytes=space.needed,
        disk_free_bytes=space.free,
        memory_bytes=memory.peak_bytes(job),
    )
    return _outcome(work).model_copy(update={"plan": plan, "upload": going})


def _outcome(work: Work) -> MergeResult:
    """The result as far as it is the same for a dry run."""
    job = work.job
    return MergeResult(
        model_name=job.request.model_name,
        adapter_paths=job.request.adapter_paths,
        strategy=job.request.strategy,
        method=job.method,
        method_reason=job.method_reason,
        dtype=job.dtype,
        merged_path=None,
        files=(),
        verification=None,
        measured=(),
        exports=(),
        modelfile_path=None,
        deploy=(),
        plan=None,
        checks=tuple(work.checks),
        warnings=tuple(check.details for check in work.checks if check.status != "pass"),
    )
