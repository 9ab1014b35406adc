"""Words and sentences that `rows.py` makes rows of; a word in braces stands for one of that kind."""
# ruff: noqa: RUF001  (letters of other alphabets are meant)

WORDS = {
    "noun": """
        garden river market teacher engine letter winter bridge computer forest recipe museum planet doctor island
        library village budget contract holiday kitchen lesson machine network orchestra painter question railway
        season theatre vaccine weather battery climate dialogue election festival grammar harvest journey keyboard
        language mountain neighbour ocean pattern protein reader school student tourist university violin workshop
        customer company product service report argument theory chapter sentence paragraph variable function database
        program algorithm experiment molecule ecosystem population economy government citizen tradition culture athlete
        coach training diet exercise habit memory emotion friendship family childhood career interview manager project
        deadline meeting solution problem strategy advantage mistake opportunity resource energy engineer architect""",
    "thing": """
        water light sound music paper money history science nature health software travel medicine education transport
        agriculture literature photography electricity communication research marketing progress happiness knowledge
        safety justice freedom traffic pollution rainfall sleep nutrition recycling astronomy geometry carbon""",
    "adjective": """
        early quiet modern simple careful bright local ancient healthy creative digital efficient familiar global
        honest important logical natural original personal practical public regular reliable serious social strong
        traditional typical useful valuable common complex effective expensive flexible friendly gradual innovative
        independent remarkable responsible sustainable visible warm wide young curious distant elegant""",
    "verb": """
        improves explains protects connects changes supports describes measures produces creates reduces increases
        requires shapes follows replaces prevents rewards reflects carries organises simplifies strengthens challenges
        compares delivers discovers encourages guides illustrates influences introduces manages observes predicts""",
    "act": """
        improve explain protect connect change support describe measure produce create reduce increase plan follow
        replace prevent organise simplify strengthen compare deliver discover encourage guide illustrate introduce
        manage observe predict design write review test repair clean prepare teach share""",
    "adverb": """
        quickly slowly clearly often rarely carefully usually quietly together directly finally partly mostly steadily
        easily gently honestly safely early late abroad everywhere recently""",
    "name": """
        Anna Boris Clara David Elena Farid Grace Hugo Irina James Keiko Liam Maria Nadia Oscar Priya Quentin Rosa Samir
        Tara Ulrich Vera William Ximena Yusuf Zoe""",
    "place": """
        Lisbon Nairobi Toronto Osaka Prague Lima Dublin Oslo Warsaw Jakarta Denver Cairo Sydney Vienna Accra Kyiv
        Bergen Seville Montreal Hanoi""",
}

RARE = {
    "before": ["re", "un", "over", "pre", "non-", "micro", "anti-", "self-", "multi", "under", "inter", ""],
    "after": ["less", "like", "ish", "-based", "wise", "ship", "-free", ""],
}
"""What is put around a word to make a rare one: language has a long tail, and tokenizers feel it."""

INSTRUCTIONS = """
Explain how a {noun} {verb} the {noun}.
Write a short {adjective} story about a {noun} in {place}.
Give {number} tips to {act} a {adjective} {noun}.
Describe the main advantage of {adjective} {thing}.
Rewrite the following sentence so that it sounds {adjective}.
List {number} ways to {act} {thing} at school.
What is the difference between {thing} and {thing}?
Summarise the text about the {noun} in two sentences.
Create a plan that helps {name} to {act} a {noun}.
Suggest a title for an article about {adjective} {thing}.
Classify the following words into {noun} or {noun}.
Why do people in {place} {act} {thing} so {adverb}?
Compose a polite email to a {noun} about a {adjective} {noun}.
Compare a {adjective} {noun} with a {adjective} {noun}.
Find the mistake in this sentence and correct it.
Name three reasons why {thing} matters to a {noun}.
Generate a question that a {noun} could ask about {thing}.
Translate the idea of {thing} into simple words.
How can a {adjective} {noun} {act} its {noun}?
Tell me what happens when a {noun} {verb} {thing}.
"""

INPUTS = """
The {adjective} {noun} {verb} the {noun} {adverb}.
{name} bought a {noun}, a {noun} and a {adjective} {noun}.
{noun}, {noun}, {noun}, {noun}, {thing}
A {noun} in {place} {verb} {thing} every {number} days.
The report says that {thing} {adverb} {verb} the {adjective} {noun}.
"""

SENTENCES = """
A {adjective} {noun} {verb} the {noun}, because {thing} {adverb} {verb} the people who {act} it.
In {place}, the {noun} {verb} {thing} and makes the {noun} more {adjective}.
First, {act} the {noun} and {act} every {adjective} part of it.
Then {act} the {noun} {adverb}, so that the {noun} stays {adjective}.
{name} and {name} learned to {act} {thing} before the {noun} became {adjective}.
About {number} percent of the {adjective} {noun} depends on {thing}.
This {verb} the {noun} and {verb} {thing} as well.
It is {adjective} to {act} a {noun} when the {noun} {verb} {thing}.
Many people {act} {thing} {adverb}, but few {act} the {noun}.
For example, a {noun} with {number} {adjective} parts {verb} the whole {noun}.
The {noun} of the {noun} is {adjective}, while its {noun} is {adjective}.
To {act} it, choose a {adjective} {noun} and a {noun}.
As a result, {thing} {verb} both the {noun} and the {adjective} {noun}.
{name} said that the {noun} was not {adjective} enough.
Every {noun} should {act} its {noun}, {act} its {noun} and {act} {thing}.
Over the last {number} years the {adjective} {noun} has changed {thing} {adverb}.
However, {thing} alone never {verb} a {noun} that is already {adjective}.
Without {thing}, no {noun} can {act} such a {adjective} {noun} {adverb}.
One {adjective} way is to {act} the {noun}; another is to {act} {thing} with a {noun}.
"""

OTHER_LANGUAGES = {
    "es": (
        "Explica cómo llegan los {es} a los {es} de la ciudad.",
        """
        Cada mañana los vecinos llevan sus {es} a los {es} del barrio y hablan de {number} cosas distintas.
        Después de comer, los niños buscan {es} y {es} cerca de la plaza, porque allí hace menos calor.
        Nadie sabe todavía cuántos {es} quedan, pero todos quieren más {es} para el año que viene.""",
    ),
    "de": (
        "Beschreibe die {de} und die {de} in einem kleinen Dorf.",
        """
        Am Morgen bringt die Großmutter {number} {de} auf den Markt, und der Großvater repariert die {de}.
        Später sitzen alle unter dem Baum, trinken Tee und erzählen von {de}, die früher schöner waren.
        Für die {de} braucht man Geduld, weil die {de} nicht überall gleich gut wachsen.""",
    ),
    "fr": (
        "Écris une histoire sur des {fr} et des {fr} en voyage.",
        """
        Le train part tôt, traverse la vallée et apporte {number} {fr} aux habitants qui attendent depuis l'été.
        Une vieille dame raconte aux enfants comment on préparait les {fr} avant d'avoir des {fr}.
        Personne ne croyait que les {fr} pouvaient changer la vie du village, mais les {fr} ont tout changé.""",
    ),
    "uk": (
        "Опиши, як {uk} та {uk} змінили наше місто.",
        """
        Щоранку сусіди приносять {uk} на площу, а діти шукають {uk} біля старої річки.
        Навесні треба підготувати {number} речей: спочатку {uk}, а потім {uk} на повільному вогні.
        Ніхто ще не знає, скільки коштують {uk}, але всі хочуть побачити їх ще раз.""",
    ),
}
"""Language: a question and answers; words of the kind are in `FOREIGN_WORDS`."""

FOREIGN_WORDS = {
    "es": """
        libros zapatos relojes caballos barcos pasteles jardines cuadros sombreros tomates vestidos juguetes
        periódicos trenes espejos árboles pájaros cuentos puentes mapas regalos músicos muebles caminos""",
    "de": """
        Bücher Schuhe Uhren Pferde Schiffe Kuchen Gärten Bilder Hüte Tomaten Kleider Spielzeuge Zeitungen Züge Spiegel
        Bäume Vögel Märchen Brücken Karten Geschenke Möbel Wege Glocken""",
    "fr": """
        livres montres chevaux bateaux gâteaux jardins tableaux chapeaux tomates vêtements jouets journaux trains
        miroirs arbres oiseaux contes ponts cadeaux musiciens meubles chemins lettres lampes""",
    "uk": """
        книжки черевики годинники коні човни пироги сади картини капелюхи помідори сукні іграшки газети потяги
        дзеркала дерева птахи казки мости мапи подарунки меблі дороги дзвони""",
}
