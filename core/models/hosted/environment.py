"""What the environment says of hosted models: where they are, and with which key they are asked."""

import os
from urllib.parse import urlsplit

KEY = "OPENAI_API_KEY"
BASE_URL = "OPENAI_BASE_URL"
PROVIDERS_FILE = "FAION_FINETUNER_PROVIDERS"
CREDENTIALS = (KEY, "OPENAI_ORG_ID", "OPENAI_PROJECT_ID")
"""Variables that only a worker that talks to the provider may see."""
OFFLINE = (BASE_URL, PROVIDERS_FILE, "TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR")
"""Variables that checks and estimates need, too."""
OWN_BASE_URL = "https://api.openai.com/v1"


def base_url() -> str:
    """The address that the environment names, else OpenAI's."""
    return os.environ.get(BASE_URL) or OWN_BASE_URL


def host_of(url: str) -> str:
    """Host and port of an address, without what else may stand in it, such as a password."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def shown(url: str) -> str:
    """An address without the user, password and query that may stand in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{host_of(url)}{parts.path}".rstrip("/")
