"""A server from its options: what it may listen on, the socket, the application, the worker."""

import errno
import secrets
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace

import uvicorn
from fastapi import FastAPI
from sqlalchemy import Engine

from encoders.errors import ConfigError
from web.access.accounts import Accounts
from web.access.loopback import is_loopback
from web.answering import chosen_backend
from web.app import create_app
from web.settings import EVERYWHERE, WebSettings
from web.warming import warm_up
from web.worker_process import WorkerProcess, worker_command

_CONNECTIONS = 20  # of the archive's pool; as many more where they are all taken
_STREAMS_END_WITHIN_S = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What `ctsearch serve` was asked for.

    Attributes:
        settings: of the application; its start-up token and its port are filled in here.
        proxies: addresses whose X-Forwarded-* headers are believed, where they are at all.
        accounts: demanded on a loopback address too.
        worker: started beside the server.
    """

    settings: WebSettings
    proxies: tuple[str, ...] = ("127.0.0.1",)
    accounts: bool = False
    worker: bool = True

    @property
    def demands_accounts(self) -> bool:
        """Whether somebody else may reach the server."""
        return self.accounts or self.settings.behind_proxy or not is_loopback(self.settings.host)


def serve(asked: Serving, *, announce: Callable[[str], None]) -> None:
    """Serve until a signal ends it.

    Args:
        asked: how.
        announce: takes sentences for the operator: the address, warnings.

    Raises:
        ConfigError: the address cannot be listened on, others may come and there is no admin account, or
            who is to draft answers needs what is not given, or would send reports away unasked.
        SearchError: there is no such backend.
        CheckpointError: the chat model's parts do not fit each other.
        DatabaseError: the archive cannot be opened.
    """
    from retrieval.migrate import open_archive

    with listening(asked.settings.host, asked.settings.port) as listener, ExitStack() as stack:
        _check_hosts(asked)
        engine = open_archive(pool_size=_CONNECTIONS)
        stack.callback(engine.dispose)
        _check_accounts(asked, engine)
        settings = replace(
            asked.settings,
            port=listener.getsockname()[1],
            start_token=None if asked.demands_accounts else secrets.token_urlsafe(32),
        )
        backend = chosen_backend(settings)
        app = create_app(settings, engine)
        server = uvicorn.Server(_configured(asked, settings, app))
        if backend.sends_to is not None:
            announce(
                f"questions and sentences of reports are sent to {backend.sends_to}: they leave this machine"
            )
        for sentence in _opening_words(settings, engine):
            announce(sentence)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # or the worker would outlive the server
        if asked.worker:
            stack.enter_context(WorkerProcess(worker_command(settings.device)))
        warm_up(app.state.desk)
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listener])


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        ConfigError: the port is taken, or the address is not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(2048)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"port {port} of {host} is taken: stop what listens there, or take another with --port"
            ) from error
        raise ConfigError(f"cannot listen on {host}, port {port} ({error.strerror}): see --host") from error
    return listener


def _check_hosts(asked: Serving) -> None:
    """Where every address is listened on, none of them is a name that the Host header may have."""
    settings = asked.settings
    if settings.host in EVERYWHERE and settings.allowed_hosts == WebSettings().allowed_hosts:
        raise ConfigError(
            f"browsers reach {settings.host} by a name that is not known here: give it with --allowed-host"
        )


def _check_accounts(asked: Serving, engine: Engine) -> None:
    if asked.demands_accounts and not Accounts(engine, actor="cli").has_admin():
        raise ConfigError(
            "others may reach this server, which demands accounts, and there is no admin yet: make one with "
            "ctsearch accounts add NAME --role admin"
        )


def _configured(asked: Serving, settings: WebSettings, app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,  # addresses hold questions and names of cases; who saw what is in the audit
        server_header=False,
        proxy_headers=settings.behind_proxy,
        forwarded_allow_ips=list(asked.proxies),
        timeout_graceful_shutdown=_STREAMS_END_WITHIN_S,
    )


def _opening_words(settings: WebSettings, engine: Engine) -> list[str]:
    from retrieval.store import Store

    shown = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{shown}:{settings.port}/"
    said = []
    if not Store(engine).collections():
        said.append("the archive has no collection yet: nothing is found until ctsearch index SOURCE has run")
    if settings.start_token is not None:
        address += f"?token={settings.start_token}"
    return [*said, f"ctsearch serves at {address} (Ctrl-C ends it)"]
