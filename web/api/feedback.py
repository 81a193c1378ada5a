"""What was found relevant; as qrels."""

from fastapi import APIRouter

router = APIRouter(tags=["feedback"])
