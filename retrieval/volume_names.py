"""What files of volumes end in; light, so that a case is searched by name without any reader."""

from retrieval.cases import VolumeKind

VOLUME_ENDINGS: dict[str, VolumeKind] = {
    ".nii.gz": "nifti",
    ".nii": "nifti",
    ".nrrd": "nrrd",
    ".nhdr": "nrrd",  # a detached header; the file of voxels that it names is no volume of its own
    ".npz": "rad_chestct",
}


def volume_kind(name: str) -> VolumeKind | None:
    """Return which kind of volume a file is by its ending, or None."""
    lower = name.lower()
    return next((kind for ending, kind in VOLUME_ENDINGS.items() if lower.endswith(ending)), None)


def without_ending(name: str) -> str:
    """Return a name without the ending of a volume file or DICOM slice, if it has one."""
    lower = name.lower()
    ending = next((ending for ending in (*VOLUME_ENDINGS, ".dcm") if lower.endswith(ending)), "")
    return name[: len(name) - len(ending)]
