"""The one prompt: `finetune`, which walks the whole way."""

from mcp import MCPError
from mcp.server.context import ServerRequestContext
from mcp.types import (
    INVALID_PARAMS,
    GetPromptRequestParams,
    GetPromptResult,
    ListPromptsResult,
    PaginatedRequestParams,
    Prompt,
    PromptArgument,
    PromptMessage,
    TextContent,
)

ARGUMENTS = (
    PromptArgument(name="data_path", description="The raw data: a file, a folder or a glob.", required=True),
    PromptArgument(name="goal", description="What the model should do better, in a sentence.", required=True),
    PromptArgument(
        name="model_name", description="The base model: a path, a hub id or a built-in name.", required=False
    ),
)
FINETUNE = Prompt(
    name="finetune",
    title="Fine-tune a model on my data",
    description="Walks from raw data to an exported model, with a look at the evidence after every step.",
    arguments=list(ARGUMENTS),
)
WAY = """\
Fine-tune a language model for me with the faion-finetuner tools.

Goal: {goal}
Raw data: {data_path}
Base model: {model_name}

1. `prepare` the data with this model_name. Read the checks and the ledger's counts; tell me in two sentences what was \
dropped or changed and ask before going on if anything failed.
2. `train` with dry_run first: tell me memory, time and disk. Start with lora; qlora only when memory is short, full \
only when lora was tried and was not enough. Then train, and watch it with `runs` and action wait.
3. `evaluate` base against tuned on valid.jsonl. Say whether it helped, by how much and how sure that is, and what got \
worse. If it did not help, say so and propose one change, no more, for the next attempt.
4. Only when it helped: `merge`, with gguf if I want to run it locally. Tell me whether the export proved itself and \
give me the command that serves it.

Use one folder for each step. After each step show me the headline numbers, not the whole report.
"""


async def list_prompts(context: ServerRequestContext, params: PaginatedRequestParams | None) -> ListPromptsResult:
    """The one prompt."""
    return ListPromptsResult(prompts=[FINETUNE])


async def get_prompt(context: ServerRequestContext, params: GetPromptRequestParams) -> GetPromptResult:
    """The prompt's text with its arguments filled in.

    Raises:
        MCPError: Another name, or a required argument is missing.
    """
    given = params.arguments or {}
    if params.name != FINETUNE.name:
        raise MCPError(INVALID_PARAMS, f"There is no such prompt; there is '{FINETUNE.name}'.")
    missing = [argument.name for argument in ARGUMENTS if argument.required and not given.get(argument.name)]
    if missing:
        raise MCPError(INVALID_PARAMS, f"The prompt needs {', '.join(missing)}.")
    text = WAY.format(
        goal=given["goal"],
        data_path=given["data_path"],
        model_name=given.get("model_name") or "ask me, or use smollm2-135m-instruct to try the way",
    )
    message = PromptMessage(role="user", content=TextContent(text=text))
    return GetPromptResult(description=FINETUNE.description, messages=[message])
