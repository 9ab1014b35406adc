"""The words that the demo's customers use; `{product}`, `{order}` and `{name}` are filled in by the sample's writer.

All of it is invented. Every wording of an intent says it in its own way, so that a model has to learn the meaning
and cannot get by on one key word.
"""

INTENTS: dict[str, tuple[str, ...]] = {
    "refund": (
        "I want my money back for the {product}{order}",
        "the {product}{order} is not what I hoped for, please pay me back",
        "I sent the {product}{order} back last week and still wait for the money",
        "kindly refund the {product}{order}, it is not for me",
        "you charged me twice for the {product}{order}, please return one payment",
        "can I get a refund on the {product}{order}",
        "I would like the price of the {product}{order} returned to my account",
        "the {product}{order} never worked and I just want the amount back",
    ),
    "exchange": (
        "the {product}{order} has the wrong colour, can I swap it",
        "I got a different model than the {product}{order} that I chose, please exchange it",
        "could you replace the {product}{order} with a bigger one",
        "my {product}{order} is too small, I would like to trade it for another size",
        "please send me the black version instead of this {product}{order}",
        "I would like to change the {product}{order} for a newer model",
        "somebody packed the wrong thing, I need the right {product}{order} in return for this one",
        "can the {product}{order} be swapped for the green one",
    ),
    "delivery": (
        "where is my {product}{order}",
        "the parcel with the {product}{order} has still not arrived",
        "the tracking page says nothing about my {product}{order}",
        "when will the {product}{order} be here",
        "I have been waiting two weeks for the {product}{order}",
        "the courier left no note and there is no {product}{order} at the door",
        "has the {product}{order} been shipped yet",
        "the {product}{order} seems to be lost on its way to me",
    ),
    "cancel": (
        "please cancel the {product}{order}",
        "I changed my mind about the {product}{order}, do not ship it",
        "I clicked too fast and no longer want the {product}{order}",
        "stop the {product}{order} before it leaves your house",
        "can you call off the {product}{order}",
        "I found the {product}{order} cheaper elsewhere, so drop my purchase",
        "my partner bought the same one, please take back my purchase of the {product}{order}",
        "I do not need the {product}{order} any more, kindly void it",
    ),
    "repair": (
        "the {product}{order} stopped working and needs to be fixed",
        "my {product}{order} is falling to pieces, can someone repair it",
        "a part of the {product}{order} broke off",
        "the {product}{order} came apart after one use, where can I have it mended",
        "the {product}{order} has a crack and I have a guarantee",
        "how do I get my {product}{order} to your workshop",
        "the {product}{order} is faulty since the first day, I hope you can mend it",
        "the {product}{order} is damaged inside, I need a technician",
    ),
    "invoice": (
        "please send the invoice for the {product}{order}",
        "I need a receipt for the {product}{order} for my taxes",
        "the bill for the {product}{order} shows the wrong company name",
        "I cannot find the paperwork with the price of the {product}{order}",
        "could you mail me a copy of the bill for the {product}{order}",
        "my accountant asks for the tax document of the {product}{order}",
        "there was no receipt in the box with the {product}{order}",
        "the invoice for the {product}{order} lists a wrong address",
    ),
}

PRODUCTS: tuple[str, ...] = (
    "kettle", "toaster", "blender", "lamp", "heater", "fan", "radio", "speaker", "headset", "keyboard", "monitor",
    "printer", "router", "camera", "tripod", "backpack", "suitcase", "umbrella", "jacket", "mattress", "pillow",
    "bookshelf", "armchair", "desk", "mirror", "carpet", "vacuum cleaner", "coffee machine", "rice cooker",
    "hair dryer", "air fryer", "alarm clock",
)  # fmt: skip

BRANDS: tuple[str, ...] = ("", "", "", "", "Lumo ", "Norvik ", "new ", "Tarn ", "grey ", "small ", "Okapi ", "white ")

ORDER_WORDINGS: tuple[str, ...] = (
    " from order {number}", " (order {number})", " ({number})", " of my order {number}", ", number {number},",
    " from purchase {number}", ", order no. {number},",
)  # fmt: skip

GREETINGS: tuple[str, ...] = (
    "", "", "Hello, ", "Hi, ", "Good morning, ", "Dear team, ", "Hey there, ", "Good evening, ",
    "To whom it may concern: ", "Hi support, ", "Hello again, ", "Dear shop, ",
)  # fmt: skip

CONTEXTS: tuple[str, ...] = (
    "", "", "", "It was a birthday present for my {person}.", "I bought it {time}.",
    "I have been a customer since {year}.", "My {person} told me to write to you.",
    "I already called {time} and nobody helped.", "We use it in our {place}.", "It stands in the {place} now.",
    "I paid for it {time}.", "My {person} and I moved to {city} {time}.", "I live in {city} by the way.",
    "The weather in {city} is awful too.", "I wrote about this {time}.", "The box is still in my {place}.",
)  # fmt: skip

PEOPLE: tuple[str, ...] = (
    "mother", "father", "sister", "brother", "neighbour", "daughter", "son", "boss", "grandmother", "friend",
)  # fmt: skip

TIMES: tuple[str, ...] = (
    "yesterday", "last week", "on Monday", "in March", "two days ago", "a month ago", "on the weekend",
    "before the holidays", "this morning", "in the summer sale", "last Friday", "around Easter",
)  # fmt: skip

PLACES: tuple[str, ...] = (
    "kitchen", "office", "garage", "hallway", "school", "holiday home", "workshop", "bedroom", "café", "attic",
)  # fmt: skip

CITIES: tuple[str, ...] = (
    "Leeds", "Malmö", "Zürich", "Porto", "Gdańsk", "Lyon", "Cork", "Graz", "Turin", "Aarhus", "Ghent", "Brno",
    "Split", "Vigo",
)  # fmt: skip

URGENT: tuple[str, ...] = (
    "This is urgent!", "Please hurry.", "I need an answer today.", "As soon as possible please!",
    "It cannot wait until tomorrow.", "Please treat this with priority.", "I am in a real hurry.", "ASAP!",
    "Every hour counts for me.", "Please act right now.",
)  # fmt: skip

CALM: tuple[str, ...] = (
    "", "", "", "", "", "There is no rush.", "Take your time.", "Whenever you get to it.", "It is not pressing.",
    "Next month is fine as well.",
)  # fmt: skip

CLOSINGS: tuple[str, ...] = (
    "", "Thanks, {name}", "Best regards, {name}", "{name}", "Thank you!", "Cheers, {name}", "Yours, {name}",
    "Greetings from {name}",
)  # fmt: skip

FIRST_NAMES: tuple[str, ...] = (
    "Mia", "Jonas", "Zoë", "René", "Aisha", "Tomás", "Priya", "Lars", "Chloé", "Ivan", "Yuki", "Noor", "Björn", "Elif",
    "Sam", "Inês", "Kofi", "Lucía", "Owen", "Freya",
)  # fmt: skip
LAST_NAMES: tuple[str, ...] = (
    "Berg", "Müller", "Okoro", "García", "Novák", "Larsen", "Patel", "Dubois", "Rossi", "Sato", "Öztürk", "Meyer",
    "Brown", "Silva", "Kowal", "Ahmed", "Lund", "Fischer",
)  # fmt: skip

SPOKEN: tuple[str, ...] = (
    "Customer on the line: ", "Caller says: ", "Um, yes, ", "So, well, ", "Transcript: ", "Voice mail: ", "Okay so, ",
    "Right, ",
)  # fmt: skip

EMAIL_WORDINGS: tuple[str, ...] = ("You can reach me at {value}.", "Write to {value} please.", "My e-mail is {value}.")
PHONE_WORDINGS: tuple[str, ...] = ("Call me on {value}.", "My phone number is {value}.", "Ring {value} after six.")
CARD_WORDINGS: tuple[str, ...] = ("I paid with card {value}.", "My card number is {value}.")
