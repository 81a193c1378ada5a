"""Questions about cases, answered sentence by sentence."""

from fastapi import APIRouter

router = APIRouter(tags=["ask"])
