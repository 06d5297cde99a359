"""The gateway as a whole: what its supervisor holds and does once, whatever the number of workers.

It reads policy and certificates, and reads the policy again at SIGHUP; what every door's supervisor does stands in
`decklog.assembling.doors`.
"""

from __future__ import annotations

import base64
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from decklog import access, listen
from decklog.access import handing_out
from decklog.assembling.doors import Doors
from decklog.assembling.listener_certificates import CLIENT_CA, FRONT_PROXY_CA, Certificates
from decklog.assembling.reloading import InForce, RefusedError, read_again, understood
from decklog.assembling.upkeep import make_store
from decklog.assembling.worker import GatewayWorker
from decklog.assembly import Auditing
from decklog.backends.intents import IntentLog
from decklog.disk import Disk
from decklog.listener_tls import Files
from decklog.policy import reader

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable

    from decklog.config import GatewaySettings
    from decklog.crew import Crew
    from decklog.worker import Worker

logger = logging.getLogger(__name__)


class AuditedGateway:
    """The gateway, as its settings ask. What can be wrong with them is raised before anything is served."""

    name = "gateway"

    def __init__(self, settings: GatewaySettings, announce: Callable[[str], None]) -> None:
        settings.check(listen.parse_address(settings.address)[0])
        self._settings = settings
        self._announce = announce
        self.address = settings.address
        self.workers = settings.workers
        self.certificates = Certificates(
            Files(
                settings.listener,
                {CLIENT_CA: settings.listener.client_ca_file, FRONT_PROXY_CA: settings.identity.front_proxy_ca_file},
                hosts=_names(listen.parse_address(settings.address)[0], settings.upstream.kubeconfig_out_server),
            )
        )
        self._in_force = self._first_policy()
        if settings.audit.kept.enabled:
            make_store(Path(settings.audit.kept.store))
        access.from_options(settings.upstream, environ=os.environ)  # what cannot be used is told before anybody starts
        self._plumbing = Auditing(
            settings.audit, self._in_force.policy if self._in_force is not None else None
        ).plumbing

    def run(self) -> signal.Signals:
        """Serve until SIGTERM or SIGINT, which is returned."""
        return Doors([self], self._settings.health, self._announce).run()

    async def work(self, worker: Worker) -> None:
        """Serve in one worker."""
        await GatewayWorker(
            self._settings, self._in_force, self.certificates.files, self.certificates.material, worker
        ).serve()

    def _first_policy(self) -> InForce | None:
        options = self._settings.audit.policy
        if not options.file:
            return None
        in_force = understood(reader.read(options.file), options)
        for finding in in_force.warnings:
            logger.warning("%s", finding)
        return in_force

    def ready(self, url: str) -> list[str]:
        """Write the kubeconfig for users, and tell."""
        handing_out.write(self._settings.upstream, url, self.certificates.pem)
        count = self.workers
        return [f"audit: {self._plumbing}, in {count} worker{'s' * (count != 1)}", f"listening on {url}"]

    async def begin(self) -> None:
        """Tell of workers that there were more of at an earlier start: nobody else would."""
        audit, count = self._settings.audit, self._settings.workers
        if audit.intent_path and self._in_force is not None:
            for path in _of_others(Path(audit.intent_path), count, f"{Path(audit.intent_path).name}.worker-"):
                async with IntentLog(path, Disk()):
                    """Entering tells what was never closed, and then forgets it."""
        if audit.webhook.spool_dir:
            for path in _of_others(Path(audit.webhook.spool_dir, "worker-0"), count, "worker-"):
                if any(segment.stat().st_size for segment in path.glob("[0-9]*.ndjson")):
                    logger.warning(
                        "events of an earlier run wait in %s, which no worker sends now: "
                        "run with as many workers as then until it is empty",
                        path,
                    )

    # What is read again.

    def hung_up(self, crew: Crew) -> None:
        """Reopen the log, and read the policy again."""
        crew.tell({"kind": "reopen"})
        if self._in_force is not None:
            self._follow_policy(crew, self._in_force)

    def _follow_policy(self, crew: Crew, old: InForce) -> None:
        problem = refused = ""
        try:
            new = read_again(self._settings.audit.policy)
        except RefusedError as error:
            problem, refused, new = error.problem, error.sha256, old
            logger.warning("the policy stays as it was: %s", problem)
        else:
            self._in_force = new
            crew.tell({"kind": "policy", "text": base64.b64encode(new.text).decode()})
            for finding in new.warnings:
                logger.warning("%s", finding)
            self._announce(f"the policy {self._settings.audit.policy.file} is in force (sha256 {new.sha256})")
        if not crew.tell_one({"kind": "told", "in_force": new.sha256, "problem": problem, "refused": refused}):
            logger.warning("no worker serves just now that could write an event about the policy")


def _names(host: str, told: str) -> list[str]:
    """List under which names a throwaway certificate is good: where we listen, and where users are told we are."""
    names = [urlsplit(told).hostname if told else None, host, "localhost", "127.0.0.1", "::1"]
    return list(dict.fromkeys(name for name in names if name and name not in {"0.0.0.0", "::"}))  # noqa: S104  # because: left out, not bound


def _of_others(beside: Path, count: int, prefix: str) -> list[Path]:
    """Find what belongs to workers with a number above `count`."""
    try:
        names = [path.name for path in beside.parent.iterdir()]
    except OSError:
        return []
    numbers = sorted(
        int(name.removeprefix(prefix))
        for name in names
        if name.startswith(prefix) and name.removeprefix(prefix).isdecimal()
    )
    return [beside.parent / f"{prefix}{number}" for number in numbers if number > count]
