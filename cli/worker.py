"""`ctsearch worker`: the process that encodes uploads and runs indexing jobs."""

from typing import Annotated

import typer


def worker(
    concurrency: Annotated[int, typer.Option(min=1, help="Uploads encoded at once.")] = 1,
    device: Annotated[str, typer.Option(help="Where encoders run: cpu, cuda.")] = "cpu",
    uploads_kept_days: Annotated[
        float, typer.Option(min=0, help="After which an upload that was not indexed is deleted.")
    ] = 14.0,
    once: Annotated[bool, typer.Option("--once", help="End when nothing waits any more.")] = False,
    ends_with_stdin: Annotated[bool, typer.Option("--ends-with-stdin", hidden=True)] = False,
) -> None:
    """Do the jobs of the page until it is ended; `ctsearch serve` starts one by itself."""
    from cli.web_extra import check_web_extra

    check_web_extra()
    from web.jobs.worker import run_worker
    from web.settings import WebSettings

    settings = WebSettings(device=device, uploads_kept_days=uploads_kept_days)
    run_worker(settings, concurrency=concurrency, once=once, ends_with_stdin=ends_with_stdin)
