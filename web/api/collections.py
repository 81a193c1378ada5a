"""Collections: what they hold and how they stand."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from web.access.caller import Reader
from web.desk import desk_of

router = APIRouter(tags=["collections"])


class CollectionModel(BaseModel):
    """Latents of one encoder and one preprocessing."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "default",
                "encoder": "phantom-tiny",
                "encoder_digest": "3f0c…",
                "preprocessing_digest": "91ab…",
                "latent_dim": 512,
                "created_at": "2026-11-30T12:00:00Z",
                "volumes": 47149,
                "reports": 24128,
                "studies": 24128,
            }
        }
    )

    name: str
    encoder: str = Field(description="What the encoder was called when the collection was made.")
    encoder_digest: str = Field(description="SHA-256 of its weights.")
    preprocessing_digest: str = Field(description="Of grid, arithmetic and de-identification.")
    latent_dim: int = Field(description="Numbers of a latent.")
    created_at: datetime
    volumes: int = Field(description="Volumes that have a latent here.")
    reports: int = Field(description="Reports that have a latent here.")
    studies: int = Field(description="Studies with at least one of either.")


class CollectionsModel(BaseModel):
    """All collections, by name."""

    collections: list[CollectionModel]


@router.get(
    "/collections",
    response_model=CollectionsModel,
    summary="List collections",
)
def list_collections(request: Request, caller: Reader) -> dict[str, Any]:
    """Return the collections and how many latents each holds."""
    shown = tuple(CollectionModel.model_fields)
    infos = desk_of(request).store.collections()
    fields = [{name: getattr(info, name) for name in shown} for info in infos]
    for each in fields if not caller.may("admin") else ():
        each["encoder"] = each["encoder"].replace("\\", "/").rstrip("/").rpartition("/")[2]
    return {"collections": fields}
