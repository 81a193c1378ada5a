"""Searches: by upload, by case, by words, by report."""

from fastapi import APIRouter

router = APIRouter(tags=["search"])
