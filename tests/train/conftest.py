"""The bench that every training test uses, and the table of planted faults."""

from collections.abc import Callable

import pytest
from faion_finetuner.core.settings import Settings

from .bench import Bench, Told, make_bench


@pytest.fixture
def told(record_property: Callable[[str, object], None]) -> Told:
    return lambda fault, words: record_property("fault", (fault, words.split("\n")[0]))


@pytest.fixture
def bench(settings: Settings) -> Bench:
    return make_bench(settings)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fault-table", action="store_true", help="print what each planted fault made the run say")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not terminalreporter.config.getoption("--fault-table", False):
        return
    passed = terminalreporter.stats.get("passed", [])
    lines = [value for report in passed for name, value in report.user_properties if name == "fault"]
    terminalreporter.write_line("\n| Planted fault | What the run says |\n|---|---|")
    for fault, words in lines:
        terminalreporter.write_line(f"| {fault} | {words.replace('|', '/')} |")
