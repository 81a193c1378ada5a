"""Files and folders that somebody brings."""

from fastapi import APIRouter

router = APIRouter(tags=["uploads"])
