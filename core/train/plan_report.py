"""What is known before a training, as sections of its report."""

from ..reports.markdown import duration, table
from ..untrusted import fence
from .result import Configuration, Plan

PREVIEW_LIMIT = 6_000  # characters of sample rows in a report


def plan_sections(plan: Plan) -> str:
    """The estimates, and what each technique would need."""
    share = plan.trainable_parameters / plan.total_parameters
    parts = ", ".join(f"{name} {size:.2f}" for name, size in plan.memory_parts_gb.items())
    rows = (
        ("Parameters", f"{plan.total_parameters:,}, of which {plan.trainable_parameters:,} trained ({share:.2%})"),
        ("Rows", f"{plan.train_rows:,} for training, {plan.valid_rows:,} for validation"),
        ("Steps", f"{plan.steps:,}"),
        ("Time", f"{duration(plan.time_s)} ({plan.time_basis})"),
        ("Memory", f"{plan.memory_gb:.2f} GB at the peak, {plan.memory_available_gb:.2f} GB available"),
        ("Memory by part, GB", parts),
        ("Disk", f"{plan.disk_gb:.3f} GB, {plan.disk_available_gb:.1f} GB free"),
    )
    advice = [(one.technique, f"{one.memory_gb:.2f}", "yes" if one.fits else "no", one.note) for one in plan.advice]
    sections = ["## Plan\n\n" + table(("What", "Estimate"), rows)]
    if advice:
        sections.append("## Technique\n\n" + table(("Technique", "Memory, GB", "Fits", "Note"), advice))
    return "\n".join(sections)


def choices_section(configuration: Configuration) -> str:
    """What `auto` chose, and why; empty when it chose nothing."""
    rows = [(one.name, one.value, one.reason, one.source) for one in configuration.choices]
    return "## Chosen by auto\n\n" + table(("Parameter", "Value", "Why", "Source"), rows) if rows else ""


def preview_section(preview: str) -> str:
    """Sample rows with what is trained; empty without any."""
    return f"## Mask preview\n\n{fence(preview, PREVIEW_LIMIT)}\n" if preview else ""
