"""A collection on a plane."""

from fastapi import APIRouter

router = APIRouter(tags=["pages"])
