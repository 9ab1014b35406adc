"""The report's parts on what lies behind the means."""

from ...reports.markdown import number, table
from ...untrusted import quote
from ..result import Breakdown, Confusion, LengthBin

SHOWN_MIXUPS = 8


def by_length(found: Breakdown | None) -> tuple[str, ...]:
    """Loss of short to long answers as a table; nothing where there is but one length."""
    if found is None or len(found.by_length) < 2:
        return ()
    rows = (
        (length_range(one), one.n, *(number(loss, 3) for loss in (one.base, one.finetuned) if loss is not None))
        for one in found.by_length
    )
    header = ("Tokens of the answer", "Rows", "Loss, base", "Loss, fine-tuned")
    return (table(header if found.by_length[0].finetuned is not None else header[:-1], rows),)


def length_range(one: LengthBin) -> str:
    """Tokens of the shortest to the longest answer."""
    return str(one.tokens_from) if one.tokens_from == one.tokens_to else f"{one.tokens_from} to {one.tokens_to}"


def confusion(found: Breakdown | None) -> tuple[str, ...]:
    """The most frequent wrong labels; the whole table is in the page's picture and in the result."""
    if found is None or found.confusion is None:
        return ()
    mixups = _mixups(found.confusion)
    if not mixups:
        return ("No label was taken for another.",)
    return (
        "What was taken for what most often:",
        table(
            ("Reference", "Answered", "Base", *(("Fine-tuned",) if found.confusion.finetuned else ())),
            [[cell for cell in mixup if cell is not None] for mixup in mixups[:SHOWN_MIXUPS]],
        ),
    )


def _mixups(found: Confusion) -> list[tuple[str, str, int, int | None]]:
    """Reference, wrong answer and how often, by the last model measured; most frequent first."""
    answers = [*map(quote, found.labels), "none of the labels"]
    mixups = []
    for row, label in enumerate(found.labels):
        for column, answered in enumerate(answers):
            before, after = found.base[row][column], found.finetuned[row][column] if found.finetuned else None
            if column != row and (before or after):
                mixups.append((quote(label), answered, before, after))
    return sorted(mixups, key=lambda one: (-(one[2] if one[3] is None else one[3]), -one[2]))
