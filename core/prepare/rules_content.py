"""What is suspect about what a row says: it points at what is not there, breaks off, goes in circles or refuses."""

import re

from .rules_view import View

URL = re.compile(r"(?:[\w ]{0,20}: ?)?<?(?:https?://|www\.)\S+>?", re.IGNORECASE)
ABOUT_ADDRESSES = re.compile(
    r"\burl|\buri\b|domain|\blinks?\b|\bvalid|web ?address|shorten|pars(?:e|ing)|protocol|host|query param|\bip\b"
    r"|browser|\bregex|extension|redirect|bookmark|http|网址|链接"
)


def url_only_input(view: View) -> str | None:
    """An input that is a web address and nothing else: the model cannot look there, so the answer teaches to invent."""
    if "http" not in view.question_lower and "www." not in view.question_lower:
        return None
    if ABOUT_ADDRESSES.search(URL.sub("", view.question_lower)):
        return None
    asked = view.question.strip()
    given = view.context.strip() if view.context else re.split(r":\s+|\n", asked)[-1].strip()
    return (
        given[:80]
        if given and all(URL.fullmatch(line.strip()) for line in given.splitlines() if line.strip())
        else None
    )


THING = (
    r"(?:images?|pictures?|photos?|photographs?|screenshots?|audio(?: \w+)?|videos?|recordings?|drawings?|figures?"
    r"|attachments?|attached \w+|paintings?|illustrations?)"
)
MEDIA_MARK = re.compile(
    r"<(?:image|img|picture|photo|video|audio|figure|diagram|chart)[^>\n]{0,30}>"
    rf"|[\[(](?:{THING}|insert {THING}|an? {THING})"
    r"(?: (?:of|here|attached|below|above|\d+)[^\])\n]{0,40})?[\])]"
    rf"|\b(?:{THING}|file|document|pdf|spreadsheet) (?:is )?attached\b"
    r"|\battached (?:image|picture|photo\w*|file|document|pdf|spreadsheet|screenshot|video|audio)\b|图片\uff1a|如图所示"
)
SEEN_AS = r"(?= (?:shows?|is|was|of|and|has|in|to|below|above|as|using|from|with|by)\b|[.,?!:;\n]|$)"
MEDIA_POINTED_AT = re.compile(
    rf"\b(?:the|this|these|that)(?: (?:following|given|attached|above|below|provided|accompanying|shown))? {THING}"
    rf" (?:below|above|attached|shown|provided|here)\b"
    rf"|\b(?:following|attached|accompanying) {THING}{SEEN_AS}"
    rf"|\b(?:this|given|provided) (?:images?|pictures?|photos?|photographs?|screenshots?|video|audio){SEEN_AS}"
    rf"|\b(?:shown|depicted|seen|visible|appears?) in the {THING}{SEEN_AS}"
    rf"|\b(?:describe|caption|analy[sz]e|identify|look at|what is in) the {THING}(?=[.?:\n]|$)"
)
MEDIA_HINTS = ("image", "picture", "photo", "attach", "screenshot", "audio", "video", "drawing", "figure",
               "record", "paint", "illustration", "<img", "diagram", "chart>", "图")  # fmt: skip
FILE_NAME = re.compile(r"\S+\.(?:jpe?g|png|gif|bmp|webp|svg|mp[34]|wav|pdf|docx?|xlsx?)", re.IGNORECASE)


def missing_media(view: View) -> str | None:
    """A question about a picture, a recording or a file that the row does not hold."""
    asked = view.question_lower
    if not any(hint in asked for hint in MEDIA_HINTS) or view.has_media:
        return None
    found = MEDIA_MARK.search(asked)
    if found is None:
        found = MEDIA_POINTED_AT.search(asked)
        if found is None or _told_in_words(view.context):
            return None
    return found[0]


def _told_in_words(context: str | None) -> bool:
    """Whether an input describes the picture, so that nothing is missing."""
    return (
        context is not None and len(context.split()) >= 2 and not URL.search(context) and not FILE_NAME.search(context)
    )


NOTHING_FOLLOWS = re.compile(
    r"\b(?:following|below)\b[^.?!\n]{0,80}(?<!\w\.)[:]\s*\Z|\b(?:following|below)\b[^.?!\n]{0,60}:\s*[\"'“”]{2}\s*\Z"
)


def missing_input(view: View) -> str | None:
    """A question that announces "the following ...:" and ends there."""
    asked = view.question_lower
    if not view.chat or "option" in asked or not asked.rstrip().endswith((":", '""', "''", "“”")):
        return None
    found = NOTHING_FOLLOWS.search(asked)
    return found[0].strip()[-60:] if found else None


MEDIA_WANTED = re.compile(
    r"(?:please |can you |could you )?(?:draw|sketch|generate|create|make|show|find|produce|record)(?: me)? an? "
    r"(?:[\w-]+ ){0,3}(?:image|picture|photo|photograph|drawing|sketch|painting|illustration|video|audio clip)\b"
)


def media_wanted(view: View) -> str | None:
    """A task to draw, film or record something, which a text model cannot do."""
    found = MEDIA_WANTED.match(view.question_lower.lstrip())
    return found[0] if found and "<svg" not in view.lower and "```" not in view.lower else None


LONG_ANSWER = 200  # characters; below, many a right answer ends without a full stop
GOES_ON = frozenset((
    *("a", "an", "and", "are", "as", "at", "be", "because", "but", "by", "for", "from", "has", "have", "if", "in"),
    *("into", "is", "its", "of", "on", "or", "than", "that", "the", "their", "this", "to", "was", "were", "which"),
    *("who", "will", "with", "would", "your", "my", "our", "these", "those", "it's", "also", "very"),
))  # fmt: skip
FENCE = re.compile(r"^[ \t]*```", re.MULTILINE)
SENTENCE_END = re.compile(r"[a-z]{2}[.!?][\"')]? (?=[A-Z])")
FAREWELL = re.compile(
    r"[-—~]|(?:yours|sincerely|best|kind|warm|with|love|regards|cheers|respectfully|your)\b", re.IGNORECASE
)


def truncated_answer(view: View) -> str | None:
    """A long answer that breaks off: within a sentence, after a comma, or inside a code block."""
    answer = view.answer.rstrip()
    if len(answer) < LONG_ANSWER or not view.question:
        return None
    if "```" in answer:
        open_block = len(FENCE.findall(answer)) % 2 and not answer.endswith("```")
        return "a code block is not closed" if open_block else None
    if not (answer[-1].isalpha() or answer[-1] in ",;"):
        return None
    line = answer[answer.rfind("\n") + 1 :]
    words = line.split()
    if len(words) < 4:
        return None
    if words[-1].lower() in GOES_ON or answer[-1] == ",":
        return f"it ends with {words[-1]!r}"
    sentence = SENTENCE_END.split(line)[-1]
    breaks_off = len(sentence) < len(line) and words[-1][0].islower() and not FAREWELL.match(sentence)
    return f"its last sentence has no end: {line[-40:]!r}" if breaks_off else None


ABOUT_ITSELF = re.compile(
    r"\b(?:who|what|how) are you\b|\bare you\b|your (?:name|developer|creator|purpose)"
    r"|\b(?:made|created|built|trained|developed) you\b|\byou (?:made|created|built|trained|developed)\b"
    r"|chatgpt|gpt-|你是谁|你叫什么|你的名字"
)
CANNOT = (
    "i(?:[\u2019']m| am| can(?:no|[\u2019']?)t| will not| won[\u2019']?t)(?: unable to| not able to)? "
    "(?:assist|help|fulfil|provide|comply|engage|create|generate|answer|do that|support)"
)
REFUSAL = re.compile(
    r"\s*(?:i[\u2019']?m|i am|we are)?,? ?(?:very |truly |really )?(?:sorry|apologi[sz]e|unfortunately)\b"
    r"[^.\n]{0,80}?"
    r"\b(?:can(?:no|[\u2019']?)t|unable|not able|won[\u2019']?t|do(?: no|n[\u2019']?)t have (?:the|access|any)"
    r"|not (?:appropriate|comfortable))"
    rf"|\s*{CANNOT}"
    r"|\s*(?:很抱歉|对不起|抱歉)[\uff0c,]?[^。\n]{0,20}(?:无法|不能)"
)
PLAIN_REFUSAL = re.compile(
    r"(?:help|assist)(?: you)? with (?:that|this|your request)|(?:fulfil+|comply with|answer) (?:this|that|your)\b"
)
APOLOGY = re.compile(r"excuse|apolog|sorry|declin|refus|reject|\bletter\b|e-?mail|dialog|conversation|道歉|拒绝")
BOILERPLATE = re.compile(
    r"\bas an? (?:ai|artificial intelligence|large language|language)\b(?: language)?(?: model| assistant|,| i\b)"
    r"|\bi(?:[\u2019']m| am) (?:just |only |merely )?an? (?:ai|artificial intelligence|(?:large )?language model)\b"
    r"|\bmy knowledge cut-?off\b|作为一个?(?:人工智能|ai)(?:语言模型|助手)?"
)


def refusal(view: View) -> str | None:
    """An answer that refuses, where no letter of refusal was asked for."""
    for answer in view.answers:
        start = answer[:200].lower()
        found = REFUSAL.match(start)
        if found and (PLAIN_REFUSAL.search(start) or not APOLOGY.search(view.question_lower)):
            return found[0].strip()[:60]
    return None


def ai_boilerplate(view: View) -> str | None:
    """An answer in which a model speaks of itself as one, unasked."""
    lower = view.lower
    hinted = "an ai" in lower or "language model" in lower or "my knowledge" in lower or "an artificial" in lower
    if not hinted and (lower.isascii() or "作为" not in lower):
        return None
    found = next((m for answer in view.answers if (m := BOILERPLATE.search(answer.lower()))), None)
    return found[0] if found and not ABOUT_ITSELF.search(view.question_lower) else None


LOOP = re.compile(r"([^\W\d_]\S{0,39}?)\1{14}")
MOST_WORDS = 20_000  # that are compared 40 times
PROBE, WINDOW = 12, 400  # characters: three times the one within the other is worth a closer look


def repeated_text(view: View) -> str | None:
    """An answer that says the same again and again: the same words at least 4 times in a row, 12 words or more."""
    for answer in view.answers:
        if len(answer) < LONG_ANSWER:
            continue
        # A loop holds the end nearly always, and the middle when it is most of the text.
        middle = len(answer) // 2
        end, inside = answer[-WINDOW:], answer[middle : middle + WINDOW]
        if end.count(end[-PROBE:]) < 3 and inside.count(inside[:PROBE]) < 3:
            continue
        if found := _loop(answer.split()[:MOST_WORDS]):
            return found
        if (letters := LOOP.search(answer[:20_000])) is not None:
            return letters[1]
    return None


def _loop(words: list[str]) -> str | None:
    """The words that come at least 4 times in a row and are then at least 12 words."""
    for period in range(1, 41):
        run, needed = 0, max(3 * period, 11)
        for at, (one, other) in enumerate(zip(words, words[period:], strict=False)):
            run = run + 1 if one == other else 0
            if run == needed:  # later on in this run the words are the same
                loop = " ".join(words[at + 1 - period : at + 1])
                if any(letter.isalpha() for letter in loop):
                    return loop[:80]
    return None


LONG_FORM = re.compile(
    r"\s*(?:please )?(?:write|compose|draft|create|generate)(?: me)? (?:an? |the )(?:[\w-]+ ){0,4}"
    r"(?:essay|story|poem|article|report|speech|letter|email|blog|review|paragraph|summary)\b"
)


def out_of_proportion(view: View) -> str | None:
    """A text of some length was asked for, and the answer is a few words."""
    answer = view.answer
    if len(answer) > 60 or not LONG_FORM.match(view.question_lower):
        return None
    words = len(answer.split())
    title = "title" in view.question_lower or "headline" in view.question_lower or "subject" in view.question_lower
    wanted_short = re.search(
        r"\b(?:one|two|three|\d+|single|short)[ -](?:word|line|sentence|character)", view.question_lower
    )
    return f"{words} words" if words < 6 and answer.isascii() and not title and not wanted_short else None
