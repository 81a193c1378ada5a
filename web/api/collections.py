"""Collections: how they stand."""

from fastapi import APIRouter

router = APIRouter(tags=["collections"])
