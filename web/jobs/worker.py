"""The process that encodes and indexes, so that no request waits for it."""

import asyncio
import logging
import os
import signal
import threading
import time

from retrieval.loaded_encoders import LoadedEncoders
from retrieval.migrate import open_archive
from web.jobs.cleaning import clean
from web.jobs.orders import put_in_lost
from web.jobs.queue import Patience, attend, make_queue
from web.jobs.work import Bench
from web.settings import WebSettings

_log = logging.getLogger(__name__)
_CLEANED_EVERY_S = 600.0


def run_worker(
    settings: WebSettings,
    *,
    concurrency: int = 1,
    once: bool = False,
    ends_with_stdin: bool = False,
    patience: Patience = Patience(),  # noqa: B008 - it is frozen
) -> None:
    """Do jobs until SIGTERM or SIGINT.

    Args:
        settings: of the application whose jobs these are: device, limits, how long uploads are kept.
        concurrency: how many uploads are encoded at once.
        once: end when nothing waits any more.
        ends_with_stdin: end too when standard input is closed: whoever started this is gone.
        patience: how soon a dead worker is noticed.

    Raises:
        DatabaseError: the database is away; start it again.
    """
    engine = open_archive(pool_size=2 * concurrency + 3)
    try:
        make_queue(engine)
        if ends_with_stdin:
            threading.Thread(target=_end_with_stdin, daemon=True, name="stdin").start()
        bench = Bench(engine=engine, encoders=LoadedEncoders(settings.device), settings=settings)
        cleaned_at = -_CLEANED_EVERY_S

        def tend() -> None:
            nonlocal cleaned_at
            put_in_lost(engine)
            if time.monotonic() - cleaned_at > _CLEANED_EVERY_S:
                cleaned_at = time.monotonic()
                clean(engine, settings)

        asyncio.run(attend(bench.perform, tend, concurrency=concurrency, once=once, patience=patience))
    finally:
        engine.dispose()


def _end_with_stdin() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
