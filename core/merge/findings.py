"""What was found, as checks."""

from collections.abc import Sequence

from ..checks import Check
from ..errors import ExportError
from ..examples.chat import ChatTokenizer
from ..reports.markdown import percent
from .probes import Probes
from .request import is_k_quant
from .result import Export, Measured, Verification

NOTABLE_EFFECT = 1e-3  # nats; an adapter that learned anything moves its own rows by a hundred times that

FALLBACKS = ("Q5_0", "Q5_1", "Q4_0", "Q4_1", "Q8_0", "IQ4_NL")
"""What llama.cpp stores a row in that a K-quant cannot hold."""


def verification_check(found: Verification) -> Check:
    """Whether the merged model says what base + adapter say."""
    details = (
        f"Mean KL {found.mean_kl:.2e} nats (allowed {found.tolerance.mean_kl:.3g}), largest logit difference "
        f"{found.max_abs_logit_difference:.2e} (allowed {found.tolerance.max_abs_logit_difference:.3g}), "
        f"same likeliest token at {percent(found.greedy_agreement)} of {found.positions} positions."
    )
    if found.status == "pass":
        return Check(name="merged_equals_adapter", status="pass", details=details)
    share = found.mean_kl / found.adapter_kl if found.adapter_kl else 1.0
    return Check(
        name="merged_equals_adapter",
        status=found.status,
        details=f"{details} Rounding costs {percent(share, 0)} as much as the adapter's whole effect.",
        next_step="Merge with dtype float32, or train longer: the adapter changes little.",
    )


def unlike(found: Verification) -> ExportError:
    """The error for a merged model that says something else than base + adapter."""
    return ExportError(
        f"The merged model does not predict what base + adapter predict: mean KL {found.mean_kl:.3g} nats "
        f"(allowed {found.tolerance.mean_kl:.3g}; the adapter's own effect is {found.adapter_kl:.3g}), largest "
        f"logit difference {found.max_abs_logit_difference:.3g} (allowed "
        f"{found.tolerance.max_abs_logit_difference:.3g}). It was removed.",
        "Merge with dtype float32; if it still differs, the adapter belongs to another base.",
    )


def adapter_check(found: Verification) -> Check:
    """Whether the adapter does anything that can be seen."""
    details = f"The adapter moves the base's predictions by {found.adapter_kl:.2e} nats (mean KL)."
    if found.adapter_kl > NOTABLE_EFFECT:
        return Check(name="adapter_effect", status="pass", details=details)
    return Check(
        name="adapter_effect",
        status="warn",
        details=f"{details} That is next to nothing.",
        next_step="Check train's metrics: did the loss fall? A higher learning_rate or more steps may be needed.",
    )


def combination_check(measured: Sequence[Measured], rows: Probes) -> Check:
    """Whether combining several did any good on the rows: base first, then each of them alone, then the merged one."""
    base, *alone, merged = measured
    best = min(alone, key=lambda one: one.loss)
    details = (
        f"On {len(rows.probes)} {rows.source} the combination's loss is {merged.loss:.4f}: the base's is "
        f"{base.loss:.4f}, that of {best.model} {best.loss:.4f}."
    )
    if merged.loss < base.loss:
        return Check(name="combination", status="pass", details=details)
    return Check(
        name="combination",
        status="warn",
        details=f"{details} It is no better than the base.",
        next_step="Try other weights, a smaller density or another strategy, or merge the best one alone.",
    )


def export_checks(exports: Sequence[Export]) -> list[Check]:
    """One check for each GGUF file, and one for rows that K-quants cannot hold."""
    checks = []
    for export in exports:
        if (found := export.verification) is not None:
            next_step = None
            if found.status == "fail":
                next_step = (
                    f"Do not ship {export.path.name}; make it with another engine (LLAMA_CPP_DIR) and try again."
                )
            elif found.status == "warn":
                next_step = "Compare its answers with evaluate, or use a larger quantisation."
            checks.append(
                Check(
                    name=f"gguf_{export.quantization}", status=found.status, details=found.details, next_step=next_step
                )
            )
    return checks + _fallback(exports)


def _fallback(exports: Sequence[Export]) -> list[Check]:
    found = []
    for export in exports:
        types = export.verification.tensor_types if export.verification and is_k_quant(export.quantization) else {}
        replaced = {name: count for name, count in types.items() if name in FALLBACKS}
        if replaced:
            found.append(
                f"{export.quantization}: " + ", ".join(f"{n} as {name}" for name, n in sorted(replaced.items()))
            )
    if not found:
        return []
    return [
        Check(
            name="k_quant_rows",
            status="warn",
            details="Some weights have rows that are no multiple of 256, which K-quants cannot hold; llama.cpp stored "
            f"them otherwise ({'; '.join(found)}), so these files are larger than their names say.",
            next_step="Nothing is wrong with them; for such a model q8_0 may be the better trade.",
        )
    ]


def chat_template_check(chat: ChatTokenizer) -> Check:
    """Whether programs that serve the model will know how to write a conversation down."""
    if not chat.template_is_default:
        return Check(name="chat_template", status="pass", details="The model brings its chat template.")
    return Check(
        name="chat_template",
        status="warn",
        details="The model has no chat template; a server would guess one.",
        next_step="Use it for plain completion, or save chat_template.jinja in the model folder and export again.",
    )
