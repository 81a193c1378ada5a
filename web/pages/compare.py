"""The question beside a hit."""

from fastapi import APIRouter

router = APIRouter(tags=["pages"])
