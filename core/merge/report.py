"""The Merge Report."""

from ..checks import worst
from ..reports.markdown import UNKNOWN, bytes_size, check_table, number, percent, table
from ..reports.report import Report
from ..untrusted import quote
from .result import Export, GgufVerification, MergeResult, Verification


def report(result: MergeResult) -> Report:
    """What was made, whether it is what it should be, and how to serve it; the finding first."""
    headline = _headline(result)
    sections = [
        f"# Merge Report\n\n**{headline}**\n",
        _facts(result),
        _merged(result),
        _verification(result),
        _measured(result),
        _exports(result),
        _deployment(result),
        _upload(result),
        "## Checks\n\n" + check_table(result.checks),
        _warnings(result),
    ]
    return Report(title="Merge Report", headline=headline, markdown="\n".join(part for part in sections if part))


def _headline(result: MergeResult) -> str:
    if result.plan is not None:
        fits = "fits" if result.plan.disk_needed_bytes <= result.plan.disk_free_bytes else "does not fit"
        return f"Dry run: needs {bytes_size(result.plan.disk_needed_bytes)} of disk, which {fits}; nothing was written."
    parts = []
    if result.verification is not None:
        parts.append(f"The merged model is base + adapter (mean KL {result.verification.mean_kl:.1e} nats)")
    elif result.merged_path is not None:
        parts.append("Merged, but not verified")
    if result.exports:
        failed = [e.quantization for e in result.exports if e.verification and e.verification.status == "fail"]
        good = len(result.exports) - len(failed)
        files = f"{good} GGUF file{'' if good == 1 else 's'}"
        parts.append(f"{files} made" + (f"; {', '.join(failed)} FAILED" if failed else ""))
    return "; ".join(parts) + "."


def _facts(result: MergeResult) -> str:
    lines = [f"**Base model:** {result.model_name}  "]
    lines += [f"**Adapter:** {path}  " for path in result.adapter_paths]
    lines.append(f"**Strategy:** {result.strategy}  " if result.adapter_paths else "**Adapter:** none  ")
    return "\n".join(lines) + "\n"


def _merged(result: MergeResult) -> str:
    if result.plan is not None:
        rows = [
            ("Disk needed", bytes_size(result.plan.disk_needed_bytes)),
            ("Disk free", bytes_size(result.plan.disk_free_bytes)),
            ("Memory", bytes_size(result.plan.memory_bytes)),
            ("Number format", result.dtype),
        ]
        return f"## Merged Model\n\nPlanned. {result.method_reason}\n\n" + table(("What", "Value"), rows)
    if result.merged_path is None:
        return f"## Merged Model\n\n{result.method_reason}\n"
    rows = [(file.path.name, bytes_size(file.bytes)) for file in result.files]
    total = bytes_size(sum(file.bytes for file in result.files))
    return (
        f"## Merged Model\n\n`{result.merged_path}`: {result.dtype}, {total} in all. {result.method_reason}\n\n"
        + table(("File", "Size"), rows)
    )


def _verification(result: MergeResult) -> str:
    found = result.verification
    if found is not None:
        return f"## Verification\n\n{_meaning(found)}\n\n" + table(("Measure", "Value", "Allowed"), _measures(found))
    if result.plan is not None:
        return ""
    why = "There is no adapter to compare with." if result.merged_path is None else "Not measured: verify was off."
    return f"## Verification\n\n{why}\n"


def _meaning(found: Verification) -> str:
    return (
        f"The merged model was reloaded from disk and compared with base + adapter on {found.prompts} prompts "
        f"({found.prompt_source}), both computed in {found.arithmetic}. "
        "What is left is the rounding of the stored weights."
    )


def _measures(found: Verification) -> list[tuple[str, str, str]]:
    allowed = found.tolerance
    return [
        (
            "Largest logit difference",
            f"{found.max_abs_logit_difference:.2e}",
            f"{allowed.max_abs_logit_difference:.3g}",
        ),
        ("Mean KL divergence (nats)", f"{found.mean_kl:.2e}", f"{allowed.mean_kl:.3g}"),
        ("Same likeliest token", percent(found.greedy_agreement), ""),
        ("The adapter's own effect (mean KL, nats)", f"{found.adapter_kl:.2e}", ""),
        ("Positions compared", number(found.positions), ""),
    ]


def _measured(result: MergeResult) -> str:
    if not result.measured:
        return ""
    rows = [
        (one.model, f"{one.loss:.4f}", UNKNOWN if one.mean_kl is None else f"{one.mean_kl:.2e}")
        for one in result.measured
    ]
    return "## On the Same Rows\n\n" + table(("Model", "Loss (nats a token)", "KL from what was to be merged"), rows)


def _exports(result: MergeResult) -> str:
    if not result.exports:
        return "" if result.plan is not None else "## Exports\n\nNone asked for. Pass gguf to make some.\n"
    header = ("Format", "File", "Size", "Loads and answers", "Tensors")
    text = "## Exports\n\n" + table(header, (_export_row(export) for export in result.exports))
    answers = [
        f"- {export.quantization}: {quote(export.verification.answer or 'no answer', 160)}"
        for export in result.exports
        if export.verification is not None
    ]
    first = result.exports[0].verification
    if first is not None:
        text += f"\nAsked {quote(first.question)}, they say ({first.engine}):\n\n" + "\n".join(answers) + "\n"
        text += _cost_of_bits(result, first)
    return text


def _export_row(export: Export) -> tuple[object, ...]:
    found = export.verification
    status = UNKNOWN if found is None else {"pass": "yes", "warn": "yes, see Checks", "fail": "NO"}[found.status]
    types = sorted(found.tensor_types.items(), key=lambda item: -item[1]) if found else ()
    tensors = ", ".join(f"{count} {name}" for name, count in types) or UNKNOWN
    return export.quantization, export.path.name, bytes_size(export.bytes), status, tensors


def _cost_of_bits(result: MergeResult, first: GgufVerification) -> str:
    merged = sum(file.bytes for file in result.files if file.path.suffix == ".safetensors") or None
    bits = "32" if result.dtype == "float32" else "16"
    rows: list[tuple[object, ...]] = [
        (f"merged ({result.dtype})", bytes_size(merged), bits, f"{first.merged_loss:.4f}", "", percent(1.0))
    ]
    rows += [_cost_row(export, found) for export in result.exports if (found := export.verification)]
    header = ("Format", "Size", "Bits a weight", "Loss (nats a token)", "Loss change", "Same likeliest token")
    return (
        f"\n### What Each Bit Costs\n\nAgainst the merged model, on {number(first.tokens)} answer tokens "
        f"({first.source}).\n\n" + table(header, rows)
    )


def _cost_row(export: Export, found: GgufVerification) -> tuple[object, ...]:
    loss = UNKNOWN if found.loss is None else f"{found.loss:.4f}"
    change = UNKNOWN if found.loss is None else f"{found.loss - found.merged_loss:+.4f}"
    bits, agreement = f"{found.bits_per_weight:.2f}", percent(found.greedy_agreement)
    return export.quantization, bytes_size(export.bytes), bits, loss, change, agreement


def _deployment(result: MergeResult) -> str:
    if not result.deploy:
        return ""
    commands = "\n\n".join(f"**{one.target}**\n\n```sh\n{one.command}\n```" for one in result.deploy)
    return f"## Deployment\n\n{commands}\n"


def _upload(result: MergeResult) -> str:
    found = result.upload
    if found is None:
        return ""
    if found.url is None:
        said = f"Would go to the private repository `{found.repo_id}`, {bytes_size(found.bytes)} at most in all:"
    else:
        said = f"Went to the private repository `{found.repo_id}`, {bytes_size(found.bytes)} in all: {found.url}"
    return f"## Upload\n\n{said}\n\n" + table(
        ("File", "Size"), ((file.name, bytes_size(file.bytes)) for file in found.files)
    )


def _warnings(result: MergeResult) -> str:
    if worst(result.checks) == "pass":
        return "## Warnings\n\nNone.\n"
    steps = [
        f"- {check.details}" + (f" *Next:* {check.next_step}" if check.next_step else "")
        for check in result.checks
        if check.status != "pass"
    ]
    return "## Warnings\n\n" + "\n".join(steps) + "\n"
