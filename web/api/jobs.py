"""Work in progress: encoding an upload, indexing it or a folder."""

from fastapi import APIRouter

router = APIRouter(tags=["jobs"])
