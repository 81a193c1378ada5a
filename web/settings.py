"""What the application is started with; a frozen value, made by `ctsearch serve`."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from web.access.oidc_settings import OidcSettings

GIB = 2**30
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - these are names of no host


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """How ctsearch serves.

    Attributes:
        host, port: where it listens.
        start_token: opens the page on a loopback address without an account, as role admin; None where
            accounts are demanded.
        allowed_hosts: names that the Host header may have, without port; anything else is refused (DNS
            rebinding).
        behind_proxy: X-Forwarded-* headers are believed.
        requests_per_minute: of one account, at most; whoever has the start-up token is not counted.
        session_idle_s: a session that is not used for so long ends.
        session_s: every session ends after so long.
        oidc: the identity provider that signs people in beside passwords; None: passwords alone.
        device: where encoders run.
        largest_upload_bytes: of one upload as it is sent.
        largest_unpacked_bytes: of a zip's files together.
        largest_upload_files: how many files an upload or the archive in it may hold.
        uploads_kept_days: after which an upload that was not indexed is deleted.
        waiting_jobs: how many may wait before uploads are refused with 429.
        pacs_url: a template with {accession}, {study_uid}; None: no "open in PACS".
        served_folders: that indexing jobs may read; none, no job reads a folder of the server.
        kept_views_bytes: of voxels that are kept so that volumes open quickly.
        chat_backend: who drafts answers: extractive, ct-chat or openai.
        chat_model: the directory of ct-chat's model.
        reports_may_leave: sentences of reports may be sent to a chat server on another computer.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    start_token: str | None = None
    allowed_hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "::1")
    behind_proxy: bool = False
    requests_per_minute: int = 3000
    session_idle_s: int = 3600
    session_s: int = 12 * 3600
    oidc: OidcSettings | None = None
    device: str = "cpu"
    largest_upload_bytes: int = 2 * GIB
    largest_unpacked_bytes: int = 4 * GIB
    largest_upload_files: int = 5000
    uploads_kept_days: float = 14.0
    waiting_jobs: int = 16
    pacs_url: str | None = None
    served_folders: tuple[str, ...] = ()
    kept_views_bytes: int = 20 * GIB
    chat_backend: str = "extractive"
    chat_model: str | None = None
    reports_may_leave: bool = False

    def with_hosts(self, names: Iterable[str]) -> "WebSettings":
        """Return the same settings with more names that the Host header may have."""
        own = () if self.host in EVERYWHERE else (self.host.lower(),)
        more = (name.lower() for name in names)
        return replace(self, allowed_hosts=tuple(dict.fromkeys((*self.allowed_hosts, *own, *more))))
