"""All tools, in the order in which they are listed and used."""

from . import evaluate, merge, openai, prepare, train
from .runs import runs_tool
from .spec import Tool

MODE_TOOLS: tuple[Tool, ...] = (prepare.TOOL, train.TOOL, evaluate.TOOL, merge.TOOL, openai.TOOL)
TOOLS: tuple[Tool, ...] = (*MODE_TOOLS, runs_tool(MODE_TOOLS))
BY_NAME: dict[str, Tool] = {tool.name: tool for tool in TOOLS}
