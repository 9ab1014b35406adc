"""Resources and the prompt, through a client."""

import base64
import json
from pathlib import Path

import pytest
from faion_finetuner.core.reports.report import Figure, Report, write_report
from faion_finetuner.core.settings import Settings
from faion_finetuner.server.app import build_server
from mcp import Client, MCPError

pytestmark = pytest.mark.anyio
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture
async def prepared(settings: Settings) -> str:
    """The run_id of a finished run."""
    rows = [{"prompt": f"Count to {n}, please.", "completion": f" {n} it is, my friend."} for n in range(30)]
    (settings.roots[0] / "raw.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    async with Client(build_server(settings)) as client:
        arguments = {"data_path": "raw.jsonl", "output_dir": "out", "format": "completion", "dedup": "exact"}
        reply = await client.call_tool("prepare", arguments)
    assert reply.structured_content is not None
    return reply.structured_content["run_id"]


async def test_the_list_of_runs_is_a_resource(settings: Settings, prepared: str):
    async with Client(build_server(settings)) as client:
        contents = (await client.read_resource("finetuner://runs")).contents[0]
    runs = json.loads(getattr(contents, "text", ""))
    assert [(run["run_id"], run["status"]) for run in runs] == [(prepared, "succeeded")]


async def test_a_runs_whole_report_is_a_resource(settings: Settings, prepared: str):
    async with Client(build_server(settings)) as client:
        contents = (await client.read_resource(f"finetuner://runs/{prepared}/report")).contents[0]
    whole = (settings.roots[0] / "out" / ".run" / prepared / "report.md").read_text(encoding="utf-8")
    assert getattr(contents, "text", "") == whole


async def test_a_runs_plot_is_a_resource(settings: Settings, prepared: str):
    figure = Figure(name="curve.png", image=PIXEL, caption="A curve")
    write_report(Report("T", "h", "# T\n", (figure,)), settings.roots[0] / "out" / ".run" / prepared, None)
    async with Client(build_server(settings)) as client:
        contents = (await client.read_resource(f"finetuner://runs/{prepared}/plot")).contents[0]
    assert base64.b64decode(getattr(contents, "blob", "")) == PIXEL


@pytest.mark.parametrize(
    "uri", ["finetuner://runs/none/report", "finetuner://other", "finetuner://runs/../../etc/report"]
)
async def test_a_resource_that_is_not_there_is_said_to_be_missing(settings: Settings, uri: str):
    async with Client(build_server(settings)) as client:
        with pytest.raises(MCPError, match="not found"):
            await client.read_resource(uri)


async def test_the_prompt_walks_the_whole_way_with_the_users_words(settings: Settings):
    async with Client(build_server(settings)) as client:
        assert [prompt.name for prompt in (await client.list_prompts()).prompts] == ["finetune"]
        given = {"data_path": "tickets.csv", "goal": "answer in JSON", "model_name": "smollm2-135m-instruct"}
        text = getattr((await client.get_prompt("finetune", given)).messages[0].content, "text", "")
        with pytest.raises(MCPError, match="goal"):
            await client.get_prompt("finetune", {"data_path": "tickets.csv"})
    for word in (*given.values(), "`prepare`", "`train`", "`evaluate`", "`merge`"):
        assert word in text


def test_a_report_page_needs_nothing_from_outside_and_runs_no_text_as_html(tmp_path: Path):
    report = Report("<b>T</b>", "h", "# T\n\n<script>alert(1)</script>\n", (Figure("c.png", PIXEL, "a < b"),))
    write_report(report, tmp_path / "run", tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert "data:image/png;base64," in page
    assert "a &lt; b" in page
