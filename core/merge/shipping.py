"""From a whole model to what is handed out: GGUF files, Modelfile, the proof that they serve, the commands to do so."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import files
from ..checks import Check
from ..errors import ExportError, RemoteError
from ..examples.chat import ChatTokenizer
from ..examples.types import Message
from ..garbage import give_back_memory
from ..models.gguf.cyllama import has_cyllama
from ..models.gguf.engines import Cyllama
from . import ollama, probes, rendering, upload
from .deploy import commands, smallest
from .export import Exported, Exporter, source_format
from .findings import chat_template_check, export_checks
from .importance import Weigher, importance_check
from .ollama import Recognised
from .preflight import Tools
from .request import CARD, MODELFILE
from .result import Deploy, Export, Upload
from .servers import find_server
from .serving import Served, Wanted, smoke_test
from .work import Work

GREETING = (Message("user", "Who are you?"),)


@dataclass(frozen=True, slots=True)
class Shipped:
    """What was made of the whole model."""

    exports: tuple[Export, ...]
    modelfile: Path | None
    deploy: tuple[Deploy, ...]
    upload: Upload | None


def ship(work: Work, tools: Tools | None) -> Shipped:
    """Make and prove what the request names; what was found goes to the work's checks.

    Raises:
        ExportError: A file could not be made; a merged model stands.
        Cancelled: The run was asked to stop.
    """
    exports = _export(work, tools).exports if tools else ()
    if work.merged and exports:
        files.write_text(work.merged / CARD, work.card(exports))
    best = smallest(exports)
    recognised = modelfile = None
    if best and work.job.request.modelfile:
        recognised = ollama.recognise(work.chat)
        modelfile = _modelfile(work, best, recognised)
    if work.job.request.verify:
        work.checks += _serving_checks(work, best, recognised)
    uploaded = _upload(work, exports, modelfile) if work.job.request.upload_to else None
    return Shipped(exports, modelfile, commands(work.merged, exports, modelfile), uploaded)


def _upload(work: Work, exports: Sequence[Export], modelfile: Path | None) -> Upload | None:
    """Only what passed every check; a refusal costs the upload, not the result."""
    failed = [check.name for check in work.checks if check.status == "fail"]
    if failed:
        step = "Repair that first; nothing that failed a check is uploaded."
        work.checks.append(_not_uploaded(f"{', '.join(failed)} failed.", step))
        return None
    try:
        return upload.upload(work.job.request, upload.items(work, exports, modelfile), work.run)
    except RemoteError as error:
        again = f"{error.next_step} To upload alone, pass model_name '{work.model}' and upload_to."
        work.checks.append(_not_uploaded(error.problem, again))
        return None


def _not_uploaded(why: str, next_step: str) -> Check:
    return Check(name="upload", status="fail", details=f"Nothing was uploaded: {why}", next_step=next_step)


def _export(work: Work, tools: Tools) -> Exported:
    job = work.job
    exporter = Exporter(
        converter=tools.converter,
        quantizer=tools.quantizer,
        asker=tools.asker,
        expectation=work.expectation,
        weigher=lambda: Weigher(_calibration(work), job.settings, work.run),
        chat=work.chat,
        run=work.run,
    )
    try:
        give_back_memory()  # of the models that were verified; the programs that follow need it
        exported = exporter.export(work.model, job.request.gguf, source_format(job.dtype))
    except ExportError as error:
        if work.merged is None:
            raise
        proven = ", verified," if work.verification else ""
        raise ExportError(
            f"{error.problem} The merged model stands{proven} in '{work.merged}'.",
            f"{error.next_step} To export it alone, pass model_name '{work.merged}' without adapter_path.",
        ) from error
    work.checks += export_checks(exported.exports)
    work.checks += [importance_check(exported.importance)] if exported.importance else []
    work.checks.append(chat_template_check(work.chat))
    return exported


def _calibration(work: Work) -> probes.Calibration:
    return probes.calibration(work.chat, work.job.training, work.job.request.data_path)


def _modelfile(work: Work, best: Export, recognised: Recognised | None) -> Path:
    work.checks.append(ollama.modelfile_check(recognised, ollama.writes_tools(work.chat)))
    path = work.run.output_dir / MODELFILE
    files.write_text(path, ollama.modelfile(best.path, recognised, work.chat))
    return path


def _serving_checks(work: Work, best: Export | None, recognised: Recognised | None) -> list[Check]:
    """Serve the smallest file, and compare how everything that ships writes the same conversations down."""
    trained_with = ChatTokenizer.load(work.trained_with)
    rows = work.rows.probes if work.rows else ()
    asked = rendering.conversations(trained_with, rows)
    if not asked:
        return []
    texts = rendering.modelfile_texts(recognised, asked) if recognised else []
    served = _serve(work, best, asked, texts) if best else None
    ids: dict[str, rendering.Ids] = {rendering.TRAINING: rendering.ids_of(trained_with, asked)}
    ids["exported tokenizer (transformers)"] = rendering.ids_by_transformers(work.model, asked)
    lacking = []
    if best and served:
        read = _read_file(work, best, asked, texts, served)
        if read.chats is None:
            lacking.append("GGUF (no engine to read it with)")
        else:
            ids[f"GGUF ({read.by})"] = read.chats
        if recognised and read.texts is not None:
            ids[f"Modelfile ({recognised.family.name})"] = read.texts
        elif work.job.request.modelfile:
            lacking.append("Modelfile (Ollama will guess its template)")
    found = [served.check] if served else []
    return [*found, rendering.rendering_check(asked, ids, lacking)]


@dataclass(frozen=True, slots=True)
class _Read:
    """How a GGUF file turns conversations, and the Modelfile's texts of them, into tokens."""

    by: str
    chats: rendering.Ids | None
    texts: rendering.Ids | None


def _serve(work: Work, best: Export, asked: Sequence[rendering.Conversation], texts: Sequence[str]) -> Served:
    own = next((probe.messages for probe in (work.rows.probes if work.rows else ()) if probe.messages), GREETING)
    prompt = work.chat.render(own, add_generation_prompt=True)
    known = work.expectation.answers if work.expectation else ()
    answer = next((one.text for one in known if one.prompt == prompt), None)
    wanted = Wanted(own, len(work.chat.encode(prompt)), answer, asked, texts)
    return smoke_test(find_server(), best.path, wanted, work.run)


def _read_file(
    work: Work, best: Export, asked: Sequence[rendering.Conversation], texts: Sequence[str], served: Served
) -> _Read:
    if served.chat_ids is not None:
        return _Read("the server's own rendering", served.chat_ids, served.text_ids)
    if not has_cyllama():
        return _Read("", None, None)
    chats = rendering.ids_in_file(best.path, work.chat, asked, work.run)
    return _Read("its template and tokens", chats, Cyllama().tokenize(best.path, texts, work.run) if texts else None)
