"""How every refusal looks, for the API's description."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

_SAID: dict[int, tuple[str, str]] = {
    400: ("The Host header, or the body, is none.", "this server does not answer to the name 'x'"),
    401: ("Nobody is signed in.", "this needs a session: sign in, or send a token as Authorization: Bearer"),
    403: ("The caller's role may not.", "anna has the role reader, and this needs admin: ask an admin"),
    404: ("There is nothing of this name.", "the dataset 'ct-rate' has no study 'valid_9_z': list its cases"),
    409: (
        "It is not ready yet, out of reach, or as it is already.",
        "the upload 7fk3 has no latent in the collection 'default' yet: job 12",
    ),
    413: ("More than is taken.", "the upload has 3.1 GB, and at most 2 GB are taken: send one series"),
    422: ("The question cannot be answered as it was put.", "age 'old' is not a range of years; write 40:70"),
    429: ("Too many requests, or too much work waiting.", "16 jobs wait already: try again in a few minutes"),
    503: ("The database is away, or its disk full.", "the database cannot be reached: check the server"),
}


class Problem(BaseModel):
    """What went wrong."""

    model_config = ConfigDict(extra="allow")

    error: str = Field(description="One sentence: what was found, where, and what to do.")
    job: int | None = Field(None, description="With 409: the job that has to end first.")


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return refusals as an endpoint's `responses`; `web.openapi` adds those that any endpoint may answer."""
    return {
        status: {
            "model": Problem,
            "description": _SAID[status][0],
            "content": {"application/json": {"example": {"error": _SAID[status][1]}}},
        }
        for status in sorted(statuses)
    }
