"""Optional packages: present, or one sentence with the install line."""

import importlib
from types import ModuleType

from .errors import MissingExtraError

INSTALL_LINE = "pip install 'faion-finetuner[local]'"


def require(module: str, purpose: str) -> ModuleType:
    """Import an optional module.

    Raises:
        MissingExtraError: It is not installed; the message says what it was needed for and how to get it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{purpose} needs the package '{error.name}', which is not installed.", f"Run: {INSTALL_LINE}"
        ) from error
