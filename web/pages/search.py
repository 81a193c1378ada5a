"""The page with the search box, and result lists."""

from fastapi import APIRouter

router = APIRouter(tags=["pages"])
