"""From what the archive says of a volume's place to the files that hold its voxels."""

from pathlib import Path

from encoders.errors import VolumeError
from retrieval.cases import VolumeFile
from retrieval.sources import SERIES_MARK

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
    folder, mark, series_uid = uri.rpartition(SERIES_MARK)
    if mark and Path(folder).is_dir():
        return _series(Path(folder), series_uid, name, advice)
    if not Path(uri).exists():
        raise VolumeError(f"the file of {name} is no longer where it was indexed: {advice}")
    return volume_file(Path(uri))


def _series(folder: Path, series_uid: str, name: str, advice: str) -> VolumeFile:
    from encoders.dicom import find_series

    for series in find_series(folder).series:
        if series.series_uid == series_uid:
            return VolumeFile(kind="dicom", uri=f"{folder}{SERIES_MARK}{series_uid}", paths=series.paths)
    raise VolumeError(f"the series of {name} is no longer where it was indexed: {advice}")
