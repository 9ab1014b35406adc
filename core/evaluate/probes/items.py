"""The built-in probe set: short questions with one right and three wrong answers, written for this project.

Easy on purpose: the question is not how clever a model is, but whether fine-tuning made it forget. The answers of one
question are of about equal length and form, so that none is likelier for its looks alone.
"""

from typing import NamedTuple


class Probe(NamedTuple):
    """One question."""

    question: str
    right: str
    wrong: tuple[str, str, str]


GENERAL = (
    Probe("Which planet do people live on?", "Earth", ("Mars", "Venus", "Saturn")),
    Probe("What is the capital of France?", "Paris", ("Madrid", "Berlin", "Rome")),
    Probe("What do bees make?", "Honey", ("Milk", "Wool", "Bread")),
    Probe("Which season comes after winter?", "Spring", ("Autumn", "Summer", "Night")),
    Probe("What is water called when it is frozen?", "Ice", ("Steam", "Sand", "Glass")),
    Probe("Which animal barks?", "A dog", ("A cat", "A cow", "A fish")),
    Probe("What do people use an umbrella against?", "Rain", ("Noise", "Hunger", "Dust")),
    Probe("In which country does one find the city of Tokyo?", "Japan", ("Brazil", "Egypt", "Norway")),
    Probe("Which part of the body is used for hearing?", "The ears", ("The knees", "The hair", "The toes")),
    Probe("What colour is fresh snow?", "White", ("Green", "Purple", "Red")),
    Probe("Who looks after the teeth of patients?", "A dentist", ("A pilot", "A farmer", "A baker")),
    Probe("What does a plant need in order to grow?", "Light", ("Salt", "Smoke", "Music")),
)  # fmt: skip

MATHS = (
    Probe("What is 2 + 3?", "5", ("4", "6", "7")),
    Probe("What is 10 - 4?", "6", ("5", "8", "3")),
    Probe("What is 3 times 4?", "12", ("10", "14", "16")),
    Probe("What is half of 18?", "9", ("8", "6", "7")),
    Probe("How many minutes are in one hour?", "60", ("24", "45", "90")),
    Probe("What number comes next: 2, 4, 6, 8, ...?", "10", ("11", "13", "15")),
    Probe("Which number is the largest?  17, 71, 27, 12", "71", ("17", "27", "12")),
    Probe("Anna has 5 apples and eats 2 of them. How many are left?", "3", ("2", "5", "7")),
    Probe("What is 100 divided by 10?", "10", ("20", "50", "90")),
    Probe("How many sides does a triangle have?", "3", ("4", "6", "8")),
    Probe("A book costs 4 euros. What do 3 books cost, in euros?", "12", ("7", "34", "10")),
    Probe("What is 7 + 8?", "15", ("13", "16", "17")),
)

CODE = (
    Probe("Which Python function gives the number of items in a list?", "len", ("abs", "chr", "hex")),
    Probe("Which Python keyword begins the definition of a function?", "def", ("for", "try", "not")),
    Probe("Which Python function writes text to the screen?", "print", ("float", "range", "round")),
    Probe("Which sign begins a comment in Python?", "#", ("$", "@", "%")),
    Probe("What does this Python expression give: len('abc')", "3", ("2", "4", "5")),
    Probe("What does this Python expression give: 'a' + 'b'", "'ab'", ("'ba'", "'aa'", "'bb'")),
    Probe("Which file name ending do Python programs have?", ".py", (".js", ".go", ".rs")),
    Probe("Which Python list method adds one item at the end?", "append", ("reverse", "remove", "count")),
    Probe("Which language is used to query relational databases?", "SQL", ("CSS", "HTML", "LaTeX")),
    Probe("Complete the loop: for i in range(3)", ":", (";", "?", "!")),
    Probe("Which value is a Boolean in Python?", "True", ("Seven", "Three", "Blue")),
    Probe("Which tag makes a link in HTML?", "<a>", ("<p>", "<b>", "<h>")),
)

INSTRUCTIONS = (
    Probe("Reply with the word yes and nothing else.", "yes", ("Sure, I can", "no", "The word is")),
    Probe("Write the word hello in capital letters.", "HELLO", ("hello", "Hello", "hallo")),
    Probe("Repeat exactly: blue lamp", "blue lamp", ("red lamp", "blue chair", "lamp blue")),
    Probe("Answer with a single digit: how many legs does a cat have?", "4", ("four legs", "A cat", "10")),
    Probe("Translate the word 'cat' into French. Answer with one word.", "chat", ("dog", "gato", "Katze")),
    Probe("Sort by the alphabet: pear, fig", "fig, pear", ("pear, fig", "pear, pear", "fig, fig")),
    Probe("Give me a JSON object with the key a and the value 1.", '{"a": 1}', ("a is 1", "[a, 1]", "(a; 1)")),
    Probe("Is this review positive or negative: 'I loved it.'", "Positive", ("Negative", "Neutral", "Review")),
    Probe("Answer with the misspelled word: house, gardin, table", "gardin", ("house", "table", "window")),
    Probe("Name the first word of this sentence: Birds sing at dawn.", "Birds", ("dawn", "sing", "at")),
    Probe("Finish with one word: The opposite of hot is", "cold", ("warm", "hot", "red")),
    Probe("Answer true or false: fish live in water.", "True", ("False", "Maybe", "Fish")),
)  # fmt: skip

CAPABILITIES: dict[str, tuple[Probe, ...]] = {
    "General QA": GENERAL,
    "Maths": MATHS,
    "Code": CODE,
    "Instruction following": INSTRUCTIONS,
}
