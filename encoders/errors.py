"""The exception tree of the project: one sentence each, saying what was found, where, and what to do."""

from typing import ClassVar


class CtsearchError(Exception):
    """A failure that a person can act on; its message is one sentence and is shown as it is."""

    exit_code: ClassVar[int] = 1


class InputError(CtsearchError):
    """What was given is wrong: a file, a table, an option."""

    exit_code: ClassVar[int] = 2


class ConfigError(InputError):
    """Dimensions or options that cannot go together."""


class VolumeError(InputError):
    """A CT file that cannot be read as a volume in Hounsfield units."""


class CheckpointError(InputError):
    """Weights that do not fit, or a model directory that is not one."""


class ReportError(InputError):
    """A report that cannot be read or encoded."""


class DatasetError(InputError):
    """A folder or table that is not in the layout it is said to be."""


class SearchError(InputError):
    """A question that the archive cannot answer as it was put."""


class UnknownNameError(SearchError):
    """Nothing in the archive has this name: no case, no collection."""


class DatabaseError(CtsearchError):
    """Postgres is missing, too old, or went away."""


class StorageError(CtsearchError):
    """The disk is full or may not be written to."""
