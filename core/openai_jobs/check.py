"""The service's rules as checks: which hold for the data, and where they do not."""

from collections.abc import Sequence

from ..checks import Check
from ..models.hosted.providers import Method, Provider
from ..reports.markdown import bytes_size
from .data import DataFile, Violations
from .lines import Rule

GOOD_START = 50  # the service's guide sees clear gains from 50 to 100 examples

NEXT_STEPS: dict[Rule, str] = {
    "Valid JSON": "Write one JSON object per line, in UTF-8, without blank lines; `prepare` with format openai does.",
    "Line Keys": "Delete these keys from every line before you upload the file.",
    "Messages": "Give every line the keys and messages that the method needs; `prepare` with format openai does.",
    "Roles": "Use system, developer, user, assistant, tool or function.",
    "Content": "Fill in or delete these messages.",
    "Weights": "Use weight 0 or 1, on assistant messages only, and at least one that is not 0.",
    "Last Message": "End supervised examples with the assistant's answer; end the others' prompts before it.",
    "Tools": "List every tool that is called, and answer each call with a tool message right after it.",
    "Grader Fields": "Give every line the fields that the grader's {{item....}} name.",
    "Preference Pairs": "Give each line input, preferred_output and non_preferred_output, each output one message.",
}
SUPERVISED_RULES: tuple[Rule, ...] = (
    "Valid JSON", "Line Keys", "Messages", "Roles", "Content", "Weights", "Last Message", "Tools",
)  # fmt: skip
RULES: dict[Method, tuple[Rule, ...]] = {
    "supervised": SUPERVISED_RULES,
    "dpo": (*SUPERVISED_RULES, "Preference Pairs"),
    "reinforcement": (*(rule for rule in SUPERVISED_RULES if rule != "Line Keys"), "Grader Fields"),
}


def data_checks(
    train: DataFile, valid: DataFile | None, method: Method, provider: Provider, context: int
) -> tuple[Check, ...]:
    """All checks of the data, the same ones in the same order for every file of a method.

    Args:
        train: The training file, read.
        valid: The validation file, read.
        method: What the data is for.
        provider: Whose limits count.
        context: Most tokens of one example.
    """
    files = [train] if valid is None else [train, valid]
    return (
        _file_check(files, provider),
        _encoding_check(files, provider),
        _examples_check(train, valid, provider),
        *(_rule_check(rule, files) for rule in RULES[method]),
        _length_check(files, context),
        *((_overlap_check(train, valid),) if valid is not None else ()),
    )


def _file_check(files: Sequence[DataFile], provider: Provider) -> Check:
    most = provider.max_file_mb
    sizes = ", ".join(f"{file.path.name} {bytes_size(file.size_bytes)}" for file in files)
    details = f"{sizes}; at most {most} MB" if most else f"{sizes}; no limit is known"
    large = [file for file in files if most and file.size_bytes > most * 10**6]
    if large:
        step = "Use fewer or shorter examples."
        return Check(name="File Size", status="fail", details=details, count=len(large), next_step=step)
    return Check(name="File Size", status="pass", details=details, count=0)


def _encoding_check(files: Sequence[DataFile], provider: Provider) -> Check:
    marked = [file.path.name for file in files if file.has_bom]
    if provider.byte_order_mark == "wanted" and len(marked) < len(files):
        step = "Save as UTF-8 with BOM."
        details = f"{provider.name} asks for a byte order mark"
        return Check(name="Encoding", status="warn", details=details, count=len(files) - len(marked), next_step=step)
    if not marked or provider.byte_order_mark == "wanted":
        details = "no byte order mark" if not marked else "a byte order mark, as asked for"
        return Check(name="Encoding", status="pass", details=details, count=0)
    what = "refuses it" if provider.byte_order_mark == "refused" else "may refuse it"
    details = f"{' and '.join(marked)} begin with a byte order mark; {provider.name} {what}"
    step = "Save as UTF-8 without BOM."
    return Check(name="Encoding", status="warn", details=details, count=len(marked), next_step=step)


def _examples_check(train: DataFile, valid: DataFile | None, provider: Provider) -> Check:
    least = provider.min_examples
    details = f"{train.path.name}: {train.examples:,} examples" + (
        f"; {valid.path.name}: {valid.examples:,} examples" if valid else ""
    )
    if train.examples < least or (valid is not None and not valid.examples):
        needed = f"{details}; training needs at least {least}, validation at least 1"
        return Check(name="Examples", status="fail", details=needed, count=train.examples, next_step="Add examples.")
    if train.examples < GOOD_START:
        few = f"{details}; allowed, but gains show mostly from {GOOD_START}"
        return Check(name="Examples", status="warn", details=few, count=train.examples, next_step="Add examples.")
    return Check(name="Examples", status="pass", details=details, count=train.examples)


def _rule_check(rule: Rule, files: Sequence[DataFile]) -> Check:
    found = [file.violations[rule] for file in files if rule in file.violations]
    if not found:
        examples = sum(file.examples for file in files)
        details = f"kept by all {examples:,} examples" if examples else "no example to look at"
        return Check(name=rule, status="pass", details=details, count=0)
    lines = sum(violations.lines for violations in found)
    return Check(name=rule, status="fail", details=_listed(found), count=lines, next_step=NEXT_STEPS[rule])


def _length_check(files: Sequence[DataFile], context: int) -> Check:
    found = [file.too_long for file in files if file.too_long.lines]
    if not found:
        return Check(name="Length", status="pass", details=f"no example has more than {context:,} tokens", count=0)
    lines = sum(violations.lines for violations in found)
    step = f"Shorten or split them: what lies behind token {context:,}, mostly the answer, is cut off without an error."
    return Check(name="Length", status="warn", details=_listed(found), count=lines, next_step=step)


def _overlap_check(train: DataFile, valid: DataFile) -> Check:
    shared = [(train.digests[digest], line) for digest, line in valid.digests.items() if digest in train.digests]
    if not shared:
        return Check(name="Overlap", status="pass", details="no validation example is in the training data", count=0)
    found = Violations(valid.path.name)
    for in_train, in_valid in shared:
        found.add(in_valid, f"equals {train.path.name}:{in_train}")
    step = "Remove them from one of the files: a validation score on training data means nothing."
    return Check(name="Overlap", status="fail", details=_listed([found]), count=len(shared), next_step=step)


def _listed(found: Sequence[Violations]) -> str:
    """Number of lines, and the first of them."""
    lines = sum(violations.lines for violations in found)
    texts = [text for violations in found for text in violations.described()]
    rest = lines - sum(len(places) for violations in found for places in violations.shown.values())
    more = f"; and {rest:,} lines with other problems" if rest else ""
    return f"{lines:,} line{'s' if lines != 1 else ''}: {'; '.join(texts)}{more}"
