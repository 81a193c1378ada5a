"""From what the archive says of a volume's place to the files that hold its voxels."""

from pathlib import Path

from encoders.errors import VolumeError
from retrieval.cases import VolumeFile
from retrieval.sources import series_files

_PHANTOM = "phantom:"


def located_file(uri: str, name: str, *, advice: str) -> VolumeFile:
    """Return the files behind a source's uri.

    Args:
        uri: a path, `FOLDER#SERIES_UID` of a DICOM series, or the uri of a phantom.
        name: of the volume, for the message.
        advice: what to do where they are gone, as the end of the message.

    Raises:
        VolumeError: they are no longer there.
    """
    from retrieval.questions import volume_file

    if uri.startswith(_PHANTOM):
        return VolumeFile(kind="phantom", uri=uri)
    series = series_files(uri)
    if series:
        return VolumeFile(kind="dicom", uri=uri, paths=series)
    if series is not None:
        raise VolumeError(f"the series of {name} is no longer where it was indexed: {advice}")
    if not Path(uri).exists():
        raise VolumeError(f"the file of {name} is no longer where it was indexed: {advice}")
    return volume_file(Path(uri))
