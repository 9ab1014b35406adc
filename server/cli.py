"""The command line, from the same input models as the tools."""

import argparse
import os
import sys
from importlib import import_module, metadata
from pathlib import Path

import anyio

from ..core.errors import FinetunerError, InputError
from ..core.settings import ROOTS, TRUST, Settings
from ..tools.spec import MODE_NAMES, Tool
from . import options

DESCRIPTION = "Prepare data, fine-tune a language model, prove that it helped, and ship it."
INTERRUPTED = 130  # what a shell reports for Ctrl-C


def main(words: list[str] | None = None) -> int:
    """Carry out one command; returns the exit code: 0 only on success."""
    rest, nested = options.split_dotted(sys.argv[1:] if words is None else words)
    parser = _parser(_tools(rest))
    parsed = parser.parse_args(rest, argparse.Namespace(nested=nested))
    if nested and not parsed.dotted:
        parser.error(f"unrecognized arguments: {' '.join(f'--{name}.…' for name in nested)}")
    try:
        return parsed.carry_out(parsed)
    except FinetunerError as error:
        sys.stderr.write(f"Error: {error.problem}\nNext: {error.next_step}\n")
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def _tools(words: list[str]) -> tuple[Tool, ...]:
    """The tool that is called, or all of them: to import the others takes a fifth of a command's start."""
    if words and words[0] in MODE_NAMES:
        return (import_module(f"..tools.{words[0]}", __package__).TOOL,)
    from ..tools.catalog import TOOLS

    return TOOLS


def _parser(tools: tuple[Tool, ...]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="faion-finetuner", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=metadata.version("faion-finetuner"))
    parser.set_defaults(dotted=False)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for tool in tools:
        _add_tool(commands, tool)
    _add_serve(commands)
    demo = commands.add_parser("demo", help="The whole way on the built-in model, over stdio as a client would.")
    demo.add_argument("--output-dir", type=Path, default=Path("demo-output"), help="Where everything goes.")
    demo.set_defaults(carry_out=_demo)
    doctor = commands.add_parser("doctor", help="What this machine can do, and what is missing.")
    doctor.set_defaults(carry_out=_doctor)
    return parser


def _add_tool(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", tool: Tool) -> None:
    command = commands.add_parser(tool.name, help=tool.title, description=tool.description)
    options.add_options(command, tool.input)
    command.add_argument("--json", action="store_true", help="Print the reply as JSON instead of the report.")
    command.set_defaults(carry_out=lambda parsed: _tool(tool, parsed), dotted=True)


def _tool(tool: Tool, parsed: argparse.Namespace) -> int:
    from .run_command import run_command

    given = options.as_arguments(parsed, tool.input, parsed.nested)
    return anyio.run(run_command, tool, given, _own_settings(), parsed.json)


def _own_settings() -> Settings:
    """A person at a terminal may name any path; relative ones count from the current folder."""
    here = Path.cwd().resolve()
    os.environ.setdefault(ROOTS, os.pathsep.join((str(here), here.anchor)))
    return Settings.from_environment()


def _add_serve(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    serve = commands.add_parser("serve", help="Start the MCP server on stdio, or on HTTP.")
    serve.add_argument("--root", action="append", type=Path, metavar="FOLDER", help="Folder it may use; repeatable.")
    serve.add_argument("--http", action="store_true", help="Serve streamable HTTP on loopback instead of stdio.")
    serve.add_argument("--host", default="127.0.0.1", help="Address for --http; any but loopback needs a token.")
    serve.add_argument("--port", type=int, default=8321, help="Port for --http; 0 for any free one.")
    serve.add_argument(
        "--allowed-host", action="append", default=[], metavar="NAME", help="Name clients may call it by."
    )
    trust = "Let models bring Python code or pickled weights of their own."
    serve.add_argument("--trust-remote-code", action="store_true", help=trust)
    serve.set_defaults(carry_out=_serve)


def _serve(parsed: argparse.Namespace) -> int:
    from . import transports

    if parsed.root:
        os.environ[ROOTS] = os.pathsep.join(map(_folder, parsed.root))
    if parsed.trust_remote_code:
        os.environ[TRUST] = "1"
    settings = Settings.from_environment()
    if parsed.http:
        transports.serve_http(settings, host=parsed.host, port=parsed.port, allowed_hosts=parsed.allowed_host)
    else:
        transports.serve_stdio(settings)
    return 0


def _folder(root: Path) -> str:
    found = root.expanduser().resolve()
    if not found.is_dir():
        raise InputError(f"--root: '{root}' is no folder.", "Correct the path, or create the folder.")
    return str(found)


def _demo(parsed: argparse.Namespace) -> int:
    from .demo.walk import walk

    return anyio.run(walk, parsed.output_dir)


def _doctor(parsed: argparse.Namespace) -> int:
    from .doctor import doctor

    return doctor()
