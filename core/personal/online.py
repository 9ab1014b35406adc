"""E-mail addresses, logins in URLs, profile pages, network and hardware addresses."""

import ipaddress
import re
from collections.abc import Iterator

from .kinds import Span, before

URL_LOGIN = re.compile(r"\b[a-zA-Z][a-zA-Z0-9+.\-]{1,15}://([^\s/:@\"'<>]{0,100}:[^\s/@\"'<>]{1,200})@(?=[\w\[])")
NOT_A_LOGIN = re.compile(
    r"(?i)[$%]?[{\[(<*]|\$|x{3,}|\.{3}|^(?:user(?:name)?|usr|login|root|admin):(?:pass(?:word)?|pwd|pw)$"
)

# Possessive, and only from where a name can begin: stays linear on long runs without @.
EMAIL = re.compile(
    r"(?<![\w.%+\-])[\w.%+\-'&]{1,64}+@(?:[\w](?:[\w\-]{0,62}+)\.){1,8}(?:[^\W\d_]{2,24}"
    r"|xn--[a-z0-9\-]{2,40})(?![\w@(])"
)
SPELT_EMAIL = re.compile(
    r"(?i)(?<![\w.%+\-])[\w.%+\-]{1,64}+\s?[\[({]\s?at\s?[\])}]\s?"
    r"[\w\-]{1,63}+(?:\s?(?:\.|[\[({]\s?(?:dot|\.)\s?[\])}])\s?[\w\-]{1,63}+){0,4}"
    r"\s?(?:\.|[\[({]\s?(?:dot|\.)\s?[\])}])\s?[a-z]{2,24}(?!\w)"
)
NOT_PEOPLE = ("git@", "hg@", "svn@")
NOT_DOMAINS = (".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".css", ".js", ".ts", ".html", ".py", ".json", ".md")

PROFILE = re.compile(
    r"(?i)(?:https?://)?(?:[a-z]{2,3}\.)?linkedin\.com/in/[\w\-%]{3,100}"
    r"|(?:https?://)?(?:[a-z]{1,3}\.)?facebook\.com/profile\.php\?id=\d{5,20}"
)

IPV4 = re.compile(r"(?<![\w.\-])(?:\d{1,3}\.){3}\d{1,3}(?![\w\-]|\.\d)")
IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]{3,39}(?:(?<=:)\d{1,3}(?:\.\d{1,3}){3})?(?![\w:])")
VERSION_BEFORE = re.compile(r"(?:version|release|firmware|build|\bv|\bver|section|chapter|\boid|§)[ .:#=]{0,2}$")
NO_ONE = frozenset(  # this machine, whole networks, masks, public resolvers
    [
        "127.0.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "255.255.255.0",
        "255.255.0.0",
        "255.0.0.0",
        "8.8.8.8",
        "8.8.4.4",
        "1.1.1.1",
        "9.9.9.9",
        "192.168.0.0",
        "192.168.0.1",
        "192.168.1.0",
        "192.168.1.1",
        "10.0.0.0",
        "10.0.0.1",
        "172.16.0.0",
        "::1",
        "::",
    ]
)
MAC = re.compile(
    r"(?<![\w:\-])(?:[0-9A-Fa-f]{2}([:\-]))(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![\w:\-])"
    r"|(?<![\w.])[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}(?![\w.]\w)"
)


def find_logins(text: str) -> Iterator[Span]:
    """User names with passwords in URLs."""
    for match in URL_LOGIN.finditer(text):
        if not NOT_A_LOGIN.search(match[1]):
            yield Span(match.start(1), match.end(1), "CREDENTIALS")


def find_emails(text: str) -> Iterator[Span]:
    """E-mail addresses of people; not the users of version control servers, nor the names of image files."""
    for match in EMAIL.finditer(text):
        value = match[0]
        if not value.startswith(NOT_PEOPLE) and not value.lower().endswith(NOT_DOMAINS):
            yield Span(match.start() + len(value) - len(value.lstrip("'&.")), match.end(), "EMAIL")


def find_spelt_emails(text: str) -> Iterator[Span]:
    """E-mail addresses written against harvesters: jane (at) example (dot) org."""
    for match in SPELT_EMAIL.finditer(text):
        yield Span(match.start(), match.end(), "EMAIL")


def find_profiles(text: str) -> Iterator[Span]:
    """Pages about one person."""
    for match in PROFILE.finditer(text):
        yield Span(match.start(), match.end(), "URL")


def find_ipv4(text: str) -> Iterator[Span]:
    """IPv4 addresses; not version numbers, nor addresses that are everybody's."""
    for match in IPV4.finditer(text):
        if (
            match[0] not in NO_ONE
            and _is_address(match[0])
            and not VERSION_BEFORE.search(before(text, match.start(), 12))
        ):
            yield Span(match.start(), match.end(), "IP")


def find_ipv6(text: str) -> Iterator[Span]:
    """IPv6 addresses: those with a digit, so that names in code such as a::b are none."""
    for match in IPV6.finditer(text):
        value = match[0]
        end = match.end() - (value.endswith(":") and not value.endswith("::"))
        value = text[match.start() : end]
        if value.count(":") >= 2 and value not in NO_ONE and any(map(str.isdigit, value)) and _is_address(value):
            yield Span(match.start(), end, "IP")


def find_macs(text: str) -> Iterator[Span]:
    """Hardware addresses of network devices."""
    for match in MAC.finditer(text):
        if match[0].lower().strip("0:-.") and match[0].lower().strip("f:-."):
            yield Span(match.start(), match.end(), "MAC")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
