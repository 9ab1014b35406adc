"""What a model as the judge is asked and costs, told before it is asked anything."""

from ...checks import Check
from ...models.hosted.environment import base_url, host_of
from ...models.hosted.providers import provider_at
from ...models.hosted.tokens import token_counter
from ...untrusted import quote
from ..reporting import wording
from ..request import EvaluateRequest
from ..result import Plan
from ..subject import Subject
from .endpoint import INSTRUCTIONS, TEXT

REASON_TOKENS = 100  # of the one or two sentences that are asked for; a judge that thinks first writes more


class JudgeBill:
    """What judging takes: each pair in both orders, at the longest answers that there can be.

    Attributes:
        usd: About what it costs; None where the price of the judge is not known.
        check: The same in words.
    """

    def __init__(self, request: EvaluateRequest, subject: Subject) -> None:
        count = token_counter().at_most
        calls = 2 * min(request.judge_pairs, len(subject.asked))
        asked = sorted(
            (count(subject.prompts[row][:TEXT]) + count(subject.references[row][:TEXT]) for row in subject.asked),
            reverse=True,
        )
        read = calls * (count(INSTRUCTIONS) + 2 * min(subject.max_new_tokens, TEXT)) + 2 * sum(asked[: calls // 2])
        written = calls * REASON_TOKENS
        provider, host = provider_at(base_url()), host_of(base_url())
        self.usd = provider.usd(request.judge_model, read, written)
        price = "at a price that is not known here"
        if self.usd is not None:
            price = f"about {wording.dollars(self.usd, provider.as_of)}"
        name = quote(request.judge_model) if request.judge_model else "its only model"
        details = (
            f"{calls:,} calls at most to {name} at {host}, each pair in both orders: about {read:,} tokens read and "
            f"{written:,} written, {price}; a judge that thinks before it speaks writes more."
        )
        self.check = Check(name="judge", status="pass", details=details, count=calls)

    def added_to(self, plan: Plan, is_hosted: bool) -> Plan:
        """The plan with this cost in it, beside that of hosted contestants; None where a part is not known."""
        if self.usd is None or (is_hosted and plan.usd is None):
            return plan.model_copy(update={"usd": None})
        return plan.model_copy(update={"usd": round(self.usd + (plan.usd or 0.0), 4)})
