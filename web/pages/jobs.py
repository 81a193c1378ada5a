"""Jobs: progress, failures, another try."""

from fastapi import APIRouter

router = APIRouter(tags=["pages"])
