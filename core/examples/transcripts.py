"""Transcripts: conversations in one text that writes the speaker before each turn."""

import re

HH = re.compile(r"(?:\A|\n\n)(Human|Assistant):[ ]?")
ANGLE = re.compile(r"(?:\A|\s*\n|\s+)<(human|user|bot|assistant|system)>:[ ]?")
HASHES = re.compile(r"(?:\A|\s*)### (Human|User|Assistant|System):[ ]?")
CAPITALS = re.compile(r"(?:\A|\s*\n)(SYSTEM|USER|ASSISTANT|FUNCTION RESPONSE):[ ]?")


def transcript(text: str) -> list[dict[str, str]] | None:
    """The turns of a text that writes the speaker before each, None when it does not begin so or nobody answers.

    Known are `\\n\\nHuman: ...\\n\\nAssistant: ...`, `<human>: ... <bot>: ...`, `### Human: ... ### Assistant: ...`
    and `SYSTEM: ... USER: ... ASSISTANT: ...`.
    """
    for begin, pattern in (("Human:", HH), ("<", ANGLE), ("### ", HASHES), ("SYSTEM:", CAPITALS), ("USER:", CAPITALS)):
        if text.startswith(begin) or text.lstrip().startswith(begin):
            turns = _turns(text.lstrip(), pattern)
            if turns is not None:
                return turns
    return None


def _turns(text: str, pattern: re.Pattern[str]) -> list[dict[str, str]] | None:
    pieces = pattern.split(text)
    if len(pieces) < 5 or pieces[0].strip():
        return None
    speakers = [speaker.lower() for speaker in pieces[1::2]]
    if speakers[0] not in ("human", "user", "system") or not {"assistant", "bot"} & set(speakers):
        return None
    turns = zip(speakers, pieces[2::2], strict=True)
    return [{"from": speaker, "value": said.removesuffix("<|endoftext|>").rstrip("\n")} for speaker, said in turns]
