"""Indexing as an indexer may ask for it: of what, into which collection, by which encoder."""

from collections.abc import Mapping
from typing import Any

from encoders.errors import InputError
from encoders.model_card import built_in_names
from retrieval.records import storable
from web.access.caller import Caller
from web.audit import record
from web.desk import Desk
from web.jobs.orders import order_indexing
from web.jobs.served_folders import folder_and_root
from web.jobs.uploads import own_upload


def order_index(
    desk: Desk, caller: Caller, *, upload: str | None, folder: str | None, how: Mapping[str, Any]
) -> int:
    """Add a job that indexes an upload of the caller's or a served folder.

    Args:
        desk: of the application.
        caller: who asks; an indexer.
        upload: its id; or else
        folder: an absolute path.
        how: collection, encoder, format, anonymous, retry_failed.

    Raises:
        InputError: not one of both is given, or the encoder is none that the server has.
        NotFoundError: the upload is not the caller's.
        ForbiddenError: the folder is not served.
        TooManyError: as many jobs wait as may.
    """
    if (upload is None) == (folder is None):
        raise InputError("say what is to be indexed: one upload, or one folder")
    _check_encoder(desk, how.get("encoder"))
    asked = {**how, "collection": storable(how["collection"])}
    if upload is not None:
        upload = own_upload(desk.engine, upload, caller).id
        subject = f"upload/{upload}"
    else:
        found, root = folder_and_root(folder or "", desk.settings.served_folders)
        asked |= {"folder": storable(str(found)), "served": root}
        subject = f"collection {asked['collection']}"
    job_id = order_indexing(
        desk.engine,
        actor=caller.name,
        upload=upload,
        asked=asked,
        waiting_jobs=desk.settings.waiting_jobs,
    )
    record(desk, caller, "index", subject, job=job_id, collection=asked["collection"])
    return job_id


def _check_encoder(desk: Desk, encoder: str | None) -> None:
    """Refuse paths of the server's that nobody has indexed with."""
    if encoder is None:
        return
    known = {*built_in_names(), *(info.encoder for info in desk.store.collections())}
    if encoder not in known:
        raise InputError(
            f"no encoder is called {encoder[:80]!r} here: take one of {', '.join(sorted(known))}"
        )
