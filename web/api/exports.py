"""Result lists as CSV and PDF."""

from fastapi import APIRouter

router = APIRouter(tags=["exports"])
