"""The names that data sets give to their fields, from the clearest to the vaguest."""

import re
from functools import lru_cache
from typing import Literal

# fmt: off
Part = Literal[
    "system", "user", "context", "assistant", "prompt", "completion", "messages", "history", "rejected",
    "request", "options", "key", "translation", "questions", "answers", "reasoning", "better",
]
# fmt: on

TURN_FIELDS = (
    *("messages", "conversations", "conversation", "turns", "dialog", "dialogue", "chat"),
    *("contents", "dialogs", "dialogues", "conversation_history", "chat_history", "utterances"),
)
SYSTEM_FIELDS = ("system", "system_prompt", "system_message", "system_instruction", "systeminstruction")
PAST = ("chat_history", "conversation_history")  # may be what was said before a question in a field of its own
CONTEXT_FIELDS = (
    *("input", "context", "passage", "background"),
    *("paragraph", "article", "story"),
)
# First one found wins; both lists go from the clearest name to the vaguest.
QUESTION_FIELDS = (
    *("question", "instruction", "query", "prompt", "user", "human", "problem", "input"),
    *("text", "sentence", "source", "document", "article", "review", "message"),
    *("anchor", "question_stem", "ctx", "goal", "user_prompt", "user_input", "text_input", "src", "dialogue", "dialog"),
    *("input_text", "prompt_text", "question_text", "user_message", "user_query", "inputs"),
    *("post", "body", "selftext", "content", "tweet", "comment", "utterance", "report", "claim", "context"),
)
ANSWER_FIELDS = (
    *("answer", "response", "output", "completion", "assistant", "reply", "solution", "best_answer"),
    *("accepted_answer", "correct_answer", "answers", "gpt", "bot", "model_output", "model_response", "ideal"),
    *("assistant_response", "answer_text", "output_text", "response_text", "completion_text", "expected_answer"),
    *("expected_output", "generated_solution", "canonical_solution", "generation"),
    *("label_text", "label_name", "label", "target", "labels", "summary", "class", "sentiment", "intent"),
    *("highlights", "tgt", "emotion", "target_text", "targets"),
)
REASONING_FIELDS = ("reasoning_content", "reasoning", "thinking", "think", "complex_cot", "chain_of_thought")
LAST_ANSWERS = ("completion", "response", "answer", "output", "ideal")  # to a conversation that ends in a question
AFTER_PAST = (  # a question that goes on with what was said before
    *("question", "instruction", "query", "prompt", "user", "human", "problem", "input", "message"),
    *("user_prompt", "user_input", "user_message", "user_query"),
)
ANSWERS_AFTER_PAST = (
    *(*LAST_ANSWERS, "assistant", "reply", "solution", "gpt", "bot", "model_output", "model_response"),
    *("assistant_response", "expected_output", "expected_answer"),
)
MESSAGE_MARKS = frozenset({"chat_history", "preamble", "generation_id", "response_id"})  # of Cohere's `message`, `text`
LABEL_FIELDS = ("category", "topic")  # vague: the answer of a text only where nothing else is there
TEXT_FIELDS = ("text", "content", "completion", "body", "document", "article", "raw_content")
TITLED = ("body", "selftext", "content", "description", "post", "question_body")  # a title before them belongs to it
TWO_TEXTS = (("premise", "hypothesis"), ("sentence1", "sentence2"), ("question1", "question2"), ("text1", "text2"))
ANSWER_PAIRS = (
    *(("chosen", "rejected"), ("preferred_output", "non_preferred_output"), ("chosen_response", "rejected_response")),
    *(("response_j", "response_k"), ("accepted", "rejected"), ("chosen_messages", "rejected_messages")),
    *(("messages", "rejected_messages"), ("messages", "rejected_response"), ("response", "rejected_response")),
)
FINDINGS = ("positive", "pos")  # what a search should find: the answer to one of these
SEARCHES = ("query", "anchor", "question", "sentence1")
IDS = frozenset({"id", "idx", "index", "uid", "uuid", "url", "split", "__index_level_0__"})

# What a person may write as the role of a column, beside the parts' own names.
PART_WORDS: dict[str, Part] = {
    **dict.fromkeys(("system", *SYSTEM_FIELDS), "system"),
    **dict.fromkeys(("user", "human", "question", "instruction", "query"), "user"),
    **dict.fromkeys(("context", "input", "passage"), "context"),
    **dict.fromkeys(
        ("assistant", "gpt", "bot", "answer", "response", "output", "label", "target", "chosen"), "assistant"
    ),
    "prompt": "prompt",
    **dict.fromkeys(("completion", "text"), "completion"),
    **dict.fromkeys(TURN_FIELDS, "messages"),
    "history": "history",
    "rejected": "rejected",
    **dict.fromkeys(("reasoning", "thinking", "rationale"), "reasoning"),
}
PARALLEL = (
    *(("questions", "answers"), ("prompts", "responses"), ("instructions", "outputs"), ("inputs", "outputs")),
    *(("queries", "answers"), ("user", "assistant"), ("human", "gpt"), ("question", "answer"), ("prompt", "response")),
)


@lru_cache(maxsize=4096)
def plain(field: str) -> str:
    """A field's name as names are compared: lower case, words joined by underscores."""
    return re.sub(r"[\s\-]+", "_", str(field).strip().lower())
