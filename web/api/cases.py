"""Cases of the archive: reports, labels, metadata, other reconstructions."""

from fastapi import APIRouter

router = APIRouter(tags=["cases"])
