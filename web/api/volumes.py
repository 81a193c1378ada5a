"""Voxels: slices as PNG, a preview as NIfTI, the whole file."""

from fastapi import APIRouter

router = APIRouter(tags=["volumes"])
