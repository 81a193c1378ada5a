"""Where an archive's key lies; indexing makes it, searching only reads it."""

from pathlib import Path

from retrieval.deidentify import PseudonymKey
from retrieval.postgres import home

KEY_FILE = "pseudonym.key"


def key_path() -> Path:
    """Return where the archive's key lies, or would."""
    return home() / KEY_FILE


def existing_key() -> PseudonymKey | None:
    """Return the key behind this archive's pseudonyms; None where this machine has none.

    Raises:
        ConfigError: the file is not a key, or can be read by others.
    """
    path = key_path()
    return PseudonymKey.load_or_create(path) if path.exists() else None


def make_key() -> PseudonymKey:
    """Return the key behind this archive's pseudonyms, made at first.

    Raises:
        ConfigError: the file is not a key, or can be read by others.
        StorageError: it cannot be written.
    """
    return PseudonymKey.load_or_create(key_path())
