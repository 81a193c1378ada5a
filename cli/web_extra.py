"""Whether the libraries of the web are installed."""

from importlib.util import find_spec

from encoders.errors import ConfigError

_NEEDED = ("argon2", "authlib", "fastapi", "limits", "procrastinate", "reportlab", "uvicorn")


def check_web_extra() -> None:
    """Say how to install what the page and the API need.

    Raises:
        ConfigError: a library of the extra is missing.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"the page and the API need {', '.join(missing)}, not installed here: pip install 'ctsearch[web]'"
        )
