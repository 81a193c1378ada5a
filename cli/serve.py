"""`ctsearch serve`: the page and the API, from one process, with a worker beside it."""

from pathlib import Path
from typing import Annotated

import typer

from cli.chat_options import BackendOption, ModelOption

_Names = list[str] | None


def serve(
    host: Annotated[
        str, typer.Option(help="Where to listen; beyond loopback accounts are demanded.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8080,
    allowed_host: Annotated[
        _Names, typer.Option(metavar="NAME", help="A name by which browsers reach it; repeatable.")
    ] = None,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="Believe X-Forwarded-* of --proxy; demands accounts.")
    ] = False,
    proxy: Annotated[_Names, typer.Option(metavar="ADDRESS", help="The proxy's; else 127.0.0.1.")] = None,
    accounts: Annotated[bool, typer.Option("--accounts", help="Demand accounts on loopback too.")] = False,
    served_folder: Annotated[
        list[Path] | None, typer.Option(exists=True, file_okay=False, help="That jobs may index; repeatable.")
    ] = None,
    pacs_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Opens a case: {accession}, {study_uid} are filled in.")
    ] = None,
    largest_upload_gib: Annotated[float, typer.Option(min=0.001, help="Of one upload.")] = 2,
    waiting_jobs: Annotated[int, typer.Option(min=1, help="More are refused.")] = 16,
    device: Annotated[str, typer.Option(help="Where encoders run: cpu, cuda.")] = "cpu",
    backend: BackendOption = "extractive",
    model: ModelOption = None,
    reports_may_leave: Annotated[
        bool, typer.Option("--reports-may-leave", help="openai's server may be another computer.")
    ] = False,
    worker: Annotated[bool, typer.Option("--worker/--no-worker", help="A process that encodes.")] = True,
) -> None:
    """Serve the page and the API; on this machine alone unless asked to, by the address that is printed."""
    from cli.web_extra import check_web_extra

    check_web_extra()
    import os

    from web.access.oidc_settings import oidc_settings
    from web.serving import Serving
    from web.serving import serve as serve_until_ended
    from web.settings import GIB, WebSettings

    settings = WebSettings(
        host=host,
        port=port,
        behind_proxy=behind_proxy,
        oidc=oidc_settings(os.environ),
        device=device,
        largest_upload_bytes=int(largest_upload_gib * GIB),
        waiting_jobs=waiting_jobs,
        pacs_url=pacs_url,
        served_folders=tuple(str(folder.resolve()) for folder in served_folder or ()),
        chat_backend=backend,
        chat_model=model,
        reports_may_leave=reports_may_leave,
    )
    asked = Serving(
        settings=settings.with_hosts(allowed_host or ()),
        proxies=tuple(proxy or ("127.0.0.1",)),
        accounts=accounts,
        worker=worker,
    )
    serve_until_ended(asked, announce=typer.echo)
