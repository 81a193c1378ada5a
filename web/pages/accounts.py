"""Accounts and the audit, for admins."""

from fastapi import APIRouter

router = APIRouter(tags=["pages"])
