"""What exports, scrapers and templates left behind in a text."""

import re

from .rules_view import View

# Signs by which chat templates part turns. In a text they are a turn that nobody said: an injection.
SPECIAL = re.compile(
    r"<\|[a-zA-Z][\w-]{1,39}\|>|<\uff5c[^<>\s\uff5c]{2,40}\uff5c>|\[/?INST\]|<</?SYS>>|</?(?:start|end)_of_turn>"
    r"|<(?:bos|eos|pad|unk)>|\A\s*<s>|^<s>(?=\s*(?:\[INST|$))",
    re.MULTILINE,
)
ANGLED = ("<|", "<\uff5c", "sys>>", "_of_turn>", "<bos>", "<eos>", "<pad>", "<unk>", "<s>", "</s>")


def special_tokens_in_text(view: View) -> str | None:
    """A chat template's own signs within a text."""
    lower = view.lower
    angled = "<" in lower and ">" in lower and any(hint in lower for hint in ANGLED)
    if not angled and ("[" not in lower or "inst]" not in lower):
        return None
    found = SPECIAL.search(view.text)
    if found:
        return found[0].strip()
    return "</s>" if "</s>" in lower and "<s>" not in lower else None  # with both, it strikes words out as in HTML


SPEAKER = re.compile(
    r"^[ \t]*(?:#{1,4}[ \t]*|\*\*|\[)?(human|assistant|user|bot|chatgpt|gpt|ai assistant|ai)(?:\*\*|\])?[ \t]*:",
    re.MULTILINE,
)
DIALOGUE = re.compile(
    r"convers|dialog|chat|interview|script|transcript|role|debate|exchange|scene|story|act as|speech|discussion|between"
    r"|skit|对话|聊天"
)


def role_markers(view: View) -> str | None:
    """Names of speakers at the start of lines: a conversation that was not parted into turns."""
    lower = view.lower
    if not view.chat or ("assistant:" not in lower and "human:" not in lower and "user:" not in lower):
        return None
    told = DIALOGUE.search(view.question_lower) is not None  # a dialogue was asked for, or one is looked at
    for answer in view.answers:
        names = set(SPEAKER.findall(answer.lower()))
        first = SPEAKER.match(answer.lower())
        if first and not (told and len(names) > 1):
            return f"an answer begins with {first[1]}:"
        if names & {"human", "user"} and not told:
            return f"an answer goes on with {min(names & {'human', 'user'})}:"
    names = set(SPEAKER.findall(view.question_lower))
    if names & {"human", "user"} and names - {"human", "user"}:
        return "the question holds turns of its own"
    return None


RECORD = re.compile(
    r"^[ \t>*]*(?:#{1,6}[ \t]*)?(?:\d{1,4}[.)]?[ \t]*)?\**(instruction|input|output|response)\**[ \t]*:", re.MULTILINE
)
TEMPLATE = re.compile(r"^#{2,4} ?(?:instruction|response|input)s?\b ?:", re.MULTILINE)
RECORD_KEYS = (
    ('"instruction"', '"output"'),
    ('"messages"', '"role"'),
    ('"conversations"', '"from"'),
    ('"prompt"', '"completion"'),
)


def merged_records(view: View) -> str | None:
    """Marks of further records within one: "12. Instruction: ... Output: ...", "### Response:", a record as JSON."""
    lower = view.lower
    if view.chat and ("instruction:" in lower or ("#" in lower and "## " in lower)):
        found = TEMPLATE.search(lower)
        if found:
            return found[0]
        marks = set(RECORD.findall(lower)) if "instruction:" in lower else set()
        if "instruction" in marks and len(marks) > 1:
            return ", ".join(f"{mark}:" for mark in sorted(marks))
    if ">" in lower and "noinput>" in lower:
        return "<noinput>"
    if '"' in lower and '":' in lower:
        for keys in RECORD_KEYS:
            if all(f"{key}:" in lower for key in keys) and "json" not in view.question_lower:
                return " and ".join(keys)
    return None


ENTITY = re.compile(
    r"&(?:nbsp|amp|quot|lt|gt|apos|rsquo|lsquo|rdquo|ldquo|mdash|ndash|hellip|#\d{2,5}|#x[\da-f]{2,4});"
)
TAG = re.compile(
    r"</(?:p|div|span|a|li|ul|td|tr|table|font|script|style|strong|em|h[1-6]|b|i)>|<br ?/?>"
    r"|<div[ >]|<(?:span|a|font) \w+="
)
ABOUT_MARKUP = re.compile(
    r"html|xml|markup|\btags?\b|web ?page|web ?site|\bcss\b|javascript|\bjs\b|php|\bsvg\b|\breact\b|regex|\bencod"
    r"|\bentity\b|```|<html|<!doctype|\bcode\b|\bprogram|snippet|\bscript|angular|jsx|\btemplate|markdown|\bparse\b"
    r"|\bparsing|\bscrap(?:e|ing)|网页|代码|标签"
)


def html_remains(view: View) -> str | None:
    """Tags or entities of web pages in a row that is not about them."""
    lower = view.lower
    if "&" not in lower and "<" not in lower:
        return None
    found = ENTITY.search(lower) or TAG.search(lower)
    return None if found is None or ABOUT_MARKUP.search(lower) else found[0]


ESCAPE = re.compile(r"(?<![\\\w:])\\n(?![a-z])|(?<=[.!?:;,\w])\\n(?=\\n|[A-Z\d*\-•#\"])|\\\\n|\\u[0-9a-f]{4}")
ABOUT_ESCAPES = re.compile(
    r"newline|line break|escape|regex|python|\bprint|\bstrings?\b|\bcode|java|json|c\+\+|\bscript|\bfunction|```"
    r"|\bprogram|unicode|\\frac|\\begin|\\math|\\text|latex|split\(|换行|代码"
)


def escaped_text(view: View) -> str | None:
    r"""Line breaks or letters written as escapes (`\n`, `\u00e9`) in a row that is not about code."""
    if "\\" not in view.text or ("\\n" not in view.text and "\\u" not in view.text):
        return None
    found = ESCAPE.search(view.text)
    return None if found is None or ABOUT_ESCAPES.search(view.lower) else found[0]


def lost_characters(view: View) -> str | None:
    """Signs that stand for letters which a wrong decoding has lost for good."""
    if view.text.isascii():
        return None
    count = view.text.count("\ufffd") + view.text.count("锟斤拷")
    return f"{count} times" if count else None


SLOT = re.compile(r"(?<![\w\\{$])\{\{ ?[a-zA-Z][\w.]{2,40} ?\}\}(?!\})")
ABOUT_SLOTS = re.compile(
    r"templat|jinja|mustache|handlebars|django|flask|vue|angular|liquid|latex|\\[a-z]+|```|\bcode\b"
    r"|placeholder|variable|ansible"
)


def unfilled_template(view: View) -> str | None:
    """A slot of a template that nobody filled: {{name}}."""
    if "{{" not in view.text:
        return None
    found = SLOT.search(view.text)
    return None if found is None or ABOUT_SLOTS.search(view.lower) else found[0]
