"""Accounts, tokens and the audit."""

from fastapi import APIRouter

router = APIRouter(tags=["accounts"])
