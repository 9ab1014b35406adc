"""Secrets: private keys, the tokens of common providers, passwords and keys that a name announces.

A provider's token is known by how it begins. Any other secret is a random-looking value beside a name such as
`api_key`, `password` or `client_secret`; names of what is no secret (`public_key`, `token_url`) do not count.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator

from .kinds import Span, places

# How the tokens of providers begin, and how many signs follow at least. W: letters, digits, _ and -. A: letters and
# digits. H: hexadecimal digits. U: capitals and digits. B: base64. Source: the providers' own documentation.
TOKEN_SHAPES = """
    sk-ant-(?:api|admin)\\d\\d- W80   sk-(?:proj|svcacct|admin|or-v1|lf)- W20   sk- W20   gsk_ A40   xai- A60
    pplx- A40   r8_ A36   hf_ A30   api_org_ A30   nvapi- W40   tvly- W20   lsv2_(?:pt|sk)_ W30
    AIza W35   ya29\\. W20   GOCSPX- W20   AQ\\.Ab W30   AQVN W35   t1\\. W20
    (?:AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9]) U16   ABSK B100   bedrock-api-key- W20   amzn\\.mws\\. W30   LTAI A20
    gh[pousr]_ A36   github_pat_ W22   gl(?:pat|dt|ft|rt|ptt|cbt|imt|agent|oas|soat|ffct|rtr|wt)- W20
    GR1348941 W20   _gitlab_session= A32   ATATT3 W80   ATCTT3 W80   ATBB A24
    xox[abeoprs]-(?=[\\w\\-]{0,12}\\d) W10   xoxe\\.xox[bp]- W30   xapp-\\d- W20
    [sr]k_(?:live|test|prod)_ A10   pk_live_ A16   whsec_ B20   sq0(?:atp|csp|idp)- W22   EAAA W40
    shp(?:at|ca|pa|ss|tka)_ H32   shippo_(?:live|test)_ H32   duffel_(?:test|live)_ W40
    FLW(?:SECK|PUBK)(?:_TEST)?- W12   access-(?:sandbox|development|production)- W30
    EAA[A-Z] A80   EZ[AT]K A50   SK H32   AC[0-9a-f] H31
    npm_ A36   pypi- W50   rubygems_ H40   CLOJARS_ A50   oy2 A43   dckr_(?:pat|oat)_ W20
    dapi H32   do[opr]_v1_ H60   dp\\.(?:pt|st|ct|sa|scim|audit)\\. W40   HRKU- W30   vercel_ A20   sbp_ H40
    tk-us- W40   fo1_ W40   fm[12][ar]?_ B90   pul- H40   pnu_ A36   pscale_(?:tkn|oauth|pw)_ W30   sha256~ W40
    4b1d A38   v1\\.0-[a-f0-9]{24}- H100
    SG\\.[\\w\\-]{16,32}\\. W30   SG\\. W60   xkeysib- H60   key-[a-f0-9] H31   pubkey- H32
    PMAK- H20   lin_(?:api|oauth)_ A40   ntn_ A40   secret_ A43   sntry[su]_ B40   pat[A-Za-z0-9]{14}\\. H60
    figd_ W30   CFPAT- W40   ph[cx]_ A30   rdme_ A60   tfp_ W40
    glsa_ A32   glc_ B32   eyJrIjoi B60   dt0[cs]\\d\\d\\.[A-Z0-9]{24}\\. A60   NRAK- A27   NRII- W30   NRJS- H19
    NRAA- H27   sgp_ W40
    hvs\\. W24   hvb\\. W90   s\\.[a-zA-Z0-9] A23   [a-zA-Z0-9]{14}\\.atlasv1\\. W60   AGE-SECRET-KEY-1 U50
    A3-[A-Z0-9]{6}- W20   ops_eyJ B100
    fio-u- W60   ico- A32   p8e- A32   s-s4t2(?:ud|af)- H60   sm_[aps]at_ A16   API- U26   AKCp A60   cmVmd A59
    sl\\. W100   dnkey- W30   (?:pat|sat)\\.[\\w\\-]{22}\\. W20
    (?:sc|ext|scauth|authress)_[a-z0-9]{5,30}\\.[a-z0-9]{4,6}\\.acc[_\\-] W30   pk\\.(?=eyJ|[a-z0-9]{60}) W50
"""
SIGNS = {"W": r"[A-Za-z0-9_\-]", "A": "[A-Za-z0-9]", "H": "[A-Fa-f0-9]", "U": "[A-Z0-9]", "B": r"[A-Za-z0-9+/_\-]"}


def _token_pattern() -> str:
    shapes = TOKEN_SHAPES.split()
    return "|".join(
        f"{start}{SIGNS[least[0]]}{{{least[1:]},2000}}" for start, least in zip(shapes[::2], shapes[1::2], strict=True)
    )


TOKEN = re.compile(rf"(?<![A-Za-z0-9_])(?:{_token_pattern()})[A-Za-z0-9_\-+/.=]*(?<![.])")
PATTERNED = re.compile(  # tokens that have a shape but no beginning of their own
    r"(?<![\w\-])(?:eyJ[\w\-]{10,4000}\.(?:eyJ|[\w\-])[\w\-]{8,8000}\.[\w\-/]{0,2000}=*"  # JSON Web Token
    r"|ZXlK[A-Za-z0-9+/]{60,8000}={0,2}"  # the same in base64
    r"|[\w~.]{3}\dQ~[\w~.\-]{31,34}"  # Azure
    r"|\d{5,16}:A[\w\-]{34}"  # Telegram
    r"|[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk"  # MaxMind
    r"|[MNO][A-Za-z\d_\-]{23,25}\.[\w\-]{6}\.[\w\-]{27,38}"  # Discord
    r"|[0-9a-f]{32}-us\d{1,2}"  # Mailchimp
    r"|\d{15,16}(?:\||%7C)[\w\-]{27,40})(?![\w\-])"  # Facebook
)
LONG_WORD = re.compile(r"\S{20,}")  # no token is shorter
WEBHOOK = re.compile(
    r"(?i)hooks\.slack\.com/(?:services|workflows|triggers)/([\w+/]{30,80})"
    r"|\.webhook\.office\.com/webhookb2/([\w@\-/]{60,300})"
    r"|discord(?:app)?\.com/api/webhooks/(\d{15,20}/[\w\-]{50,80})"
)
PRIVATE_KEY = re.compile(
    r"-----BEGIN[ A-Z0-9_-]{0,60}PRIVATE KEY(?: BLOCK)?-----"
    r".{16,20000}?-----END[ A-Z0-9_-]{0,60}PRIVATE KEY(?: BLOCK)?-----",
    re.S,
)

SECRET_WORDS = (
    "key",
    "token",
    "secret",
    "passw",
    "pwd",
    "cred",
    "auth",
    "access",
    "bearer",
    "client",
    "login",
    "dsn",
    "cookie",
    "sid",
)
ASSIGNED = re.compile(
    r"(?i)(?:key|token|secret|passw(?:or)?d|pwd|credentials?|creds|auth(?:orization)?|access|bearer|cookie|login"
    r"|contribsys__com)"
    r"[\w.\- \t]{0,24}[\"'`\])]{0,2}[ \t]{0,4}(?:\s?string\s{0,2})?(?:=>|:{1,3}=|\?=|\.=|\|\||[:=>,])"
    r"(?:\s|\\n){0,8}[\"'`=]{0,4}(?:(?:bearer|basic|token"
    r"|api-key)\s{1,3})?([A-Za-z0-9+/_\-.=~$!@#%^*:]{8,400}+)(?!\()"
)
AUTH_HEADER = re.compile(r"(?i)\b(?:bearer|basic|token|api-key)[ \t]{1,4}([A-Za-z0-9+/_\-.=~:]{16,2000})")
CURL_USER = re.compile(
    r"\bcurl\b[^\n]{0,400}?\s(?:-u|--user)[= ]{0,3}[\"']?"
    r"([^\s\"':]{0,80}:(?:[^\s\"']{3,200}|'[^\s\"']{3,200}'|\"[^\s\"']{3,200}\"))"
)
PASSWORD = re.compile(
    r"(?i)\b(?:password|passwort|passphrase|passcode|contraseña|mot de passe|pwd|passwd)\b[\"']?"
    r"(?:\s{1,3}(?:is|was|to|ist|est|es)\s{1,3}|\s{0,3}[:=]{1,2}\s{0,3}"
    r"|\s{1,3}(?=[\"'`]))[\"'`]?([^\s\"'`<>\[\](){},]{6,64})"
)

NO_SECRET_BEFORE = re.compile(  # what a name ends with before "key", "token" and the like
    r"(?:public|pub|primary|foreign|natural|idx|index|sort|partition|schema|sequence|(?<!bit)bucket|hot|tur|mon"
    r"|don|hoc|object|cache|map|dict"
    r"|row|group|sub|registry|csrf|xsrf|next|page|max|min|num|stop|eos|bos|pad|unk|sep|issuer|random|event|maven"
    r"|ssh-rsa|user|page|i18n|translation)"
    r"[_.\-\s]{0,2}$"
)
NO_SECRET_NAME = re.compile(
    r"(?:(?:key|token|secret|access|auth|credential|login|cookie)s?[_.\-]?(?:id\b|ids\b|name|path|file|size|length"
    r"|type|url|uri|endpoint"
    r"|alias|board|code|frame|pair|press|ring|selector|signature|stone|store|word|up\b|down\b|left|right|version"
    r"|count|limit|format|host"
    r"|field|mesh|ability|ibility|or\b|ors\b|ing\b|iz|um\b|group|vault|tab|down_|entials?id|s?id\b|s?_?id\b"
    r"|entication|source)"
    r"|authors?\b|authenticat|accessor|accessib|credentials?_?id|passwordless|password[_.\-]?(?:hash|field|reset"
    r"|policy)|algorithm)"
)
NO_VALUE = re.compile(
    r"(?i)(?:token|secret|key|value)[_\-]?\d{1,3}\b|x{4,}|\*{3,}|\.{3}|example|sample|your|my[_\-]?(?:secret|key"
    r"|token|api)|dummy|placeholder|change_?me|redacted|insert|replace|^1234567890abcdef|^0123456789abcdef"
    r"|abcdefghij|qwertyuiop|process\.env|os\.environ|getenv|config\.|settings\.|env\.|self\.|\$\(|\$\{|\(|https?:"
    r"|^\d{1,14}$|^\d{4}-\d\d-\d\d"
    r"|\.(?:com|org|net|io|py|js|ts|json|pem|cer|crt|p12|jks|txt|html|xml|ya?ml|jar|properties)\b|snapshot"
    r"|\d\.\d+\.\d|^v?\d+(?:\.\d+)+|jar:|#{3,}|@|::|^[=.\-_/+]+$|^file:"
)
TOKEN_ENTROPY_BITS = 2.6  # a sign; hexadecimal and repeated parts lower it, and the beginning vouches already
ENTROPY_BITS = 3.0  # a sign; lower-case words of 16 letters and more have less than random ones of their length


def find_private_keys(text: str) -> Iterator[Span]:
    """Private keys in PEM armour."""
    for match in PRIVATE_KEY.finditer(text):
        yield Span(match.start(), match.end(), "PRIVATE_KEY")


def find_tokens(text: str) -> Iterator[Span]:
    """Tokens that are known by how they begin, or by their own shape."""
    for word in LONG_WORD.finditer(text):
        for pattern in (TOKEN, PATTERNED):
            for match in pattern.finditer(text, word.start(), word.end()):
                if _is_token(match[0]):
                    yield Span(match.start(), match.end(), "API_KEY")
    for match in WEBHOOK.finditer(text):
        group = match.lastindex or 0
        yield Span(match.start(group), match.end(group), "API_KEY")


def _is_token(value: str) -> bool:
    """Whether the signs are those of a key, not of a word, a path, or a place kept for a key."""
    if STAND_IN.search(value) or WORDS.search(value, LONGEST_BEGINNING) or entropy_bits(value) < TOKEN_ENTROPY_BITS:
        return False
    return any(map(str.isdigit, value)) or (len(value) > 30 and VOWELLESS.search(value) is not None)


LONGEST_BEGINNING = 16  # signs of "bedrock-api-key-"; names in code have more words after those
STAND_IN = re.compile(
    r"(?i)x{5,}|\*{3,}|\.{3}|#{3,}|your[_\-]|example[_\-]?key|placeholder|redacted|here$|\.(?:png|jpe?g|gif|svg)$"
    r"|(.)\1{9,}"
)
WORDS = re.compile(r"[a-z]{3,}[_\-][a-z]{3,}[_\-][a-z]{3,}")


def entropy_bits(value: str) -> float:
    """Shannon entropy of the signs of a value, in bits a sign."""
    counts = Counter(value).values()
    return -sum(count / len(value) * math.log2(count / len(value)) for count in counts)


def find_announced(text: str) -> Iterator[Span]:
    """Secrets beside a name that announces them: in code, in settings, in headers, in a sentence about a password."""
    position = 0
    for start in places(text, SECRET_WORDS):
        match = ASSIGNED.match(text, start) if start >= position else None
        if match and _announces_secret(text, match) and _is_secret(match[1]):
            yield Span(match.start(1), match.start(1) + len(match[1].rstrip(".:,&")), "API_KEY")
            position = match.end()
    for match in AUTH_HEADER.finditer(text):
        if _is_secret(match[1]):
            yield Span(match.start(1), match.end(1), "API_KEY")
    if "curl" in text:
        for match in CURL_USER.finditer(text):
            if not NO_LOGIN.search(match[1]):
                yield Span(match.start(1), match.end(1), "CREDENTIALS")
    for match in PASSWORD.finditer(text):
        if _is_password(match[1]):
            yield Span(match.start(1), match.start(1) + len(match[1].rstrip(".,;!?")), "CREDENTIALS")


NO_LOGIN = re.compile(r"[<${]|\*{3}|^user(?:name)?:pass(?:word)?$")


def _announces_secret(text: str, match: re.Match[str]) -> bool:
    name = text[max(0, match.start() - 24) : match.start(1)].lower()
    own = match.start() - max(0, match.start() - 24)
    return not (NO_SECRET_BEFORE.search(name[:own]) or NO_SECRET_NAME.search(name, max(0, own - 12)))


def _is_secret(value: str) -> bool:
    """Whether a value looks random: letters and digits mixed, many different signs, nothing that reads as code."""
    value = value.rstrip(".:,&")
    if len(value) < 10 or NO_VALUE.search(value) or CLASS_NAME.fullmatch(value):
        return False
    if value.isdigit():
        return len(value) >= 15 and len(set(value)) > 4
    has_digit = any(map(str.isdigit, value))
    if not has_digit:
        return len(value) >= 20 and value.isalnum() and not value.istitle() and VOWELLESS.search(value) is not None
    return any(map(str.isalpha, value)) and entropy_bits(value) >= ENTROPY_BITS and not WORDS.search(value)


CLASS_NAME = re.compile(r"[A-Z]*[a-z]*\d?(?:[A-Z][a-z]{2,}\d?)+")
VOWELLESS = re.compile(r"(?i)[bcdfghjklmnpqrstvwxz]{5}")


def _is_password(value: str) -> bool:
    value = value.rstrip(".,;!?")
    kinds = (str.isdigit, str.isalpha)
    return len(value) >= 6 and not NO_PASSWORD.search(value) and all(any(map(kind, value)) for kind in kinds)


NO_PASSWORD = re.compile(
    r"(?i)^\$|password|[=()\[\]{}]|_[a-z]+_|^\w+\.\w+$|x{4,}|\*{3}|^\d+-?(?:char|digit|letter|bit)|sha\d|md5|base64"
)
