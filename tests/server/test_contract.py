"""What a client sees: names, schemas, annotations, and how much of its context they take."""

import json
from pathlib import Path
from typing import Any

import pytest
from faion_finetuner.core.prepare.rules import RULES
from faion_finetuner.core.settings import Settings
from faion_finetuner.server.app import INSTRUCTIONS, build_server
from faion_finetuner.tools.catalog import MODE_TOOLS, TOOLS
from faion_finetuner.tools.spec import MODE_NAMES
from mcp import Client
from mcp.types import Tool as ToolDefinition

pytestmark = pytest.mark.anyio
SNAPSHOTS = Path(__file__).parent / "snapshots"
NAMES = ["prepare", "train", "evaluate", "merge", "openai", "runs"]
REPLY = {
    "run_id",
    "mode",
    "status",
    "progress",
    "result",
    "error",
    "report_markdown",
    "report_path",
    "run_dir",
    "next_steps",
}
CHARACTERS_A_TOKEN = 4  # of compact JSON; benchmarks/README.md tells what two tokenizers count


async def listed(settings: Settings, mode: str = "auto") -> list[ToolDefinition]:
    async with Client(build_server(settings), mode=mode) as client:
        return (await client.list_tools()).tools


def as_json(tool: ToolDefinition) -> dict[str, Any]:
    return tool.model_dump(mode="json", by_alias=True, exclude_none=True)


def test_every_mode_is_known_by_its_name_before_its_tool_is_imported():
    assert tuple(tool.name for tool in MODE_TOOLS) == MODE_NAMES


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_both_protocol_eras_list_the_six_tools_in_the_same_order(settings: Settings, mode: str):
    tools = await listed(settings, mode)
    assert [tool.name for tool in tools] == NAMES
    assert [as_json(tool) for tool in tools] == [as_json(tool) for tool in await listed(settings, mode)]


@pytest.mark.parametrize("name", NAMES)
async def test_the_definition_matches_its_snapshot(settings: Settings, name: str, request: pytest.FixtureRequest):
    definition = next(as_json(tool) for tool in await listed(settings) if tool.name == name)
    text = json.dumps(definition, indent=2, ensure_ascii=False) + "\n"
    path = SNAPSHOTS / f"{name}.json"
    if request.config.getoption("--update-snapshots"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, "run pytest with --update-snapshots, and read the difference"


async def test_inputs_are_flat_closed_and_without_unions_or_references(settings: Settings):
    for tool in await listed(settings):
        schema = tool.input_schema
        assert schema["type"] == "object"
        assert schema["additionalProperties"] is False
        assert not {"anyOf", "oneOf", "allOf", "$defs"} & schema.keys()
        assert "$ref" not in json.dumps(schema)


async def test_every_argument_and_every_result_field_is_described_or_speaks_for_itself(settings: Settings):
    for tool in await listed(settings):
        for name, field in tool.input_schema["properties"].items():
            assert field.get("description"), f"{tool.name}.{name}"
        assert set((tool.output_schema or {})["properties"]) == REPLY


async def test_every_tool_says_all_four_hints(settings: Settings):
    for tool in await listed(settings):
        assert tool.annotations is not None
        hints = tool.annotations.model_dump(exclude={"title"})
        assert None not in hints.values(), tool.name
        assert tool.annotations.open_world_hint is (tool.name in {"openai", "evaluate", "merge"}), tool.name  # services
        assert tool.annotations.destructive_hint is (tool.name == "openai"), tool.name  # it cancels jobs


async def test_the_definitions_stay_within_their_budget(settings: Settings):
    texts = {tool.name: json.dumps(as_json(tool), separators=(",", ":")) for tool in await listed(settings)}
    tokens = {name: len(text) / CHARACTERS_A_TOKEN for name, text in texts.items()}
    assert max(tokens.values()) < 2000, tokens
    assert sum(tokens.values()) < 8000, tokens


async def test_the_instructions_fit_into_what_clients_keep():
    assert len(INSTRUCTIONS) < 2000


def test_the_readme_has_the_tool_table_of_the_catalog(request: pytest.FixtureRequest):
    path = Path(__file__).parents[2] / "README.md"
    before, _, rest = path.read_text(encoding="utf-8").partition("<!-- tools -->\n")
    old, _, after = rest.partition("<!-- /tools -->")
    rows = [
        f"| `{tool.name}` | {tool.title} | {', '.join(f'`{name}`' for name in tool.input.model_fields)} |\n"
        for tool in TOOLS
    ]
    new = "| tool | what for | arguments |\n|---|---|---|\n" + "".join(rows)
    if request.config.getoption("--update-snapshots"):
        path.write_text(f"{before}<!-- tools -->\n{new}<!-- /tools -->{after}", encoding="utf-8")
        old = new
    assert old == new, "run pytest with --update-snapshots"


def test_the_readme_has_the_rules_of_prepare(request: pytest.FixtureRequest):
    path = Path(__file__).parents[2] / "README.md"
    before, _, rest = path.read_text(encoding="utf-8").partition("<!-- rules -->\n")
    old, _, after = rest.partition("<!-- /rules -->")
    texts = {name: rule.description.replace("|", "\\|").replace("<", "&lt;") for name, rule in RULES.items()}
    rows = [f"| `{name}` | {rule.action} | {texts[name]} |\n" for name, rule in RULES.items()]
    new = "| rule | does | what for |\n|---|---|---|\n" + "".join(rows)
    if request.config.getoption("--update-snapshots"):
        path.write_text(f"{before}<!-- rules -->\n{new}<!-- /rules -->{after}", encoding="utf-8")
        old = new
    assert old == new, "run pytest with --update-snapshots"
