"""Resources: the runs, and each run's report, metrics and plot."""

import base64
import json
from pathlib import Path

from mcp import MCPError
from mcp.server.context import ServerRequestContext
from mcp.types import (
    INVALID_PARAMS,
    BlobResourceContents,
    ListResourcesResult,
    ListResourceTemplatesResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextResourceContents,
)

from ..core.errors import RunNotFoundError
from ..core.runs import index, watch
from ..core.runs.record import RunFolder
from ..core.settings import Settings

RUNS_URI = "finetuner://runs"
PARTS = {
    "report": ("text/markdown", "The run's whole report."),
    "metrics": ("application/jsonl", "One JSON object a line, as the run wrote them."),
    "plot": ("image/png", "The run's main picture, such as its loss curve."),
}


class Shelf:
    """The server's resource handlers."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def list_resources(
        self, context: ServerRequestContext, params: PaginatedRequestParams | None
    ) -> ListResourcesResult:
        """The one fixed resource; each run's own follow from the templates."""
        runs = Resource(uri=RUNS_URI, name="runs", title="All runs", mime_type="application/json")
        return ListResourcesResult(resources=[runs])

    async def list_templates(
        self, context: ServerRequestContext, params: PaginatedRequestParams | None
    ) -> ListResourceTemplatesResult:
        """The parts that every run has."""
        templates = [
            ResourceTemplate(uri_template=f"{RUNS_URI}/{{run_id}}/{part}", name=part, description=text, mime_type=kind)
            for part, (kind, text) in PARTS.items()
        ]
        return ListResourceTemplatesResult(resource_templates=templates)

    async def read(self, context: ServerRequestContext, params: ReadResourceRequestParams) -> ReadResourceResult:
        """One resource.

        Raises:
            MCPError: There is none at this URI.
        """
        return ReadResourceResult(contents=[_read(str(params.uri), self._settings)])


def _read(uri: str, settings: Settings) -> TextResourceContents | BlobResourceContents:
    if uri == RUNS_URI:
        return TextResourceContents(uri=uri, mime_type="application/json", text=_runs(settings))
    run_id, _, part = uri.removeprefix(f"{RUNS_URI}/").partition("/")
    if not uri.startswith(f"{RUNS_URI}/") or part not in PARTS:
        raise _not_found(uri)
    try:
        folder = index.find(run_id, settings)
        content = _path(folder, part).read_bytes()
    except (RunNotFoundError, FileNotFoundError):
        raise _not_found(uri) from None
    kind = PARTS[part][0]
    if part == "plot":
        return BlobResourceContents(uri=uri, mime_type=kind, blob=base64.b64encode(content).decode())
    return TextResourceContents(uri=uri, mime_type=kind, text=content.decode("utf-8"))


def _path(folder: RunFolder, part: str) -> Path:
    return {"report": folder.report_path, "metrics": folder.metrics_path, "plot": folder.plot_path}[part]


def _runs(settings: Settings) -> str:
    lines = []
    for pointer in index.pointers(settings):
        try:
            status = watch.observe(RunFolder(path=pointer.run_dir)).status
        except RunNotFoundError:  # damaged; it hides no other
            status = "unreadable"
        lines.append(
            {"run_id": pointer.run_id, "mode": pointer.mode, "status": status, "run_dir": str(pointer.run_dir)}
        )
    return json.dumps(lines, indent=2)


def _not_found(uri: str) -> MCPError:
    return MCPError(INVALID_PARAMS, "Resource not found", {"uri": uri})
