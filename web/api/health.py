"""Whether the application lives, is ready, and how it fares."""

from fastapi import APIRouter

router = APIRouter(tags=["health"])
