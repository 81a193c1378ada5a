"""Findings, labelled and scored."""

from fastapi import APIRouter

router = APIRouter(tags=["scores"])
