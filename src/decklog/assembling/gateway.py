"""The gateway as a whole: what its supervisor holds and does once, whatever the number of workers.

It reads policy and certificates, and reads them again (SIGHUP; certificates also when their files change); it serves
the sums of what the workers count; it warns of certificates near their end, and says when the gateway is ready.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from decklog import access, listen
from decklog.access import handing_out
from decklog.assembling.reloading import InForce, RefusedError, read_again, understood
from decklog.assembling.worker import CLIENT_CA, FRONT_PROXY_CA, GatewayWorker
from decklog.assembly import Auditing
from decklog.backends.intents import IntentLog
from decklog.disk import Disk
from decklog.errors import DecklogError
from decklog.health import Health
from decklog.listener_tls import Expiry, Files
from decklog.metrics import AuditCounters, merged, restored
from decklog.policy import reader
from decklog.supervisor import Supervisor

if TYPE_CHECKING:
    import signal
    from collections.abc import AsyncIterator, Callable

    from decklog.config import GatewaySettings
    from decklog.listener_tls import Material
    from decklog.worker import Worker

LOOK_EVERY_S: Final = 5.0
"""How often the files of the listener's certificates are looked at."""

logger = logging.getLogger(__name__)


class AuditedGateway:
    """The gateway, as its settings ask. What can be wrong with them is raised before anything is served."""

    def __init__(self, settings: GatewaySettings, announce: Callable[[str], None]) -> None:
        settings.check(listen.parse_address(settings.address)[0])
        self._settings = settings
        self._announce = announce
        self._files = Files(
            settings.listener,
            {CLIENT_CA: settings.listener.client_ca_file, FRONT_PROXY_CA: settings.identity.front_proxy_ca_file},
            hosts=_names(listen.parse_address(settings.address)[0], settings.upstream.kubeconfig_out_server),
        )
        self._material: Material | None = self._files.read()
        self._ends = self._material.ends() if self._material is not None else {}
        self._expiry = Expiry()
        self._in_force = self._first_policy()
        access.from_options(settings.upstream, environ=os.environ)  # what cannot be used is told before anybody starts
        self._plumbing = Auditing(
            settings.audit, self._in_force.policy if self._in_force is not None else None
        ).plumbing
        self._metrics_url = ""

    def run(self) -> signal.Signals:
        """Serve until SIGTERM or SIGINT, which is returned."""
        settings = self._settings
        return Supervisor(
            self._work,
            settings.address,
            settings.workers,
            on_ready=self._ready,
            on_hangup=self._hung_up,
            beside=self._beside,
        ).run()

    async def _work(self, worker: Worker) -> None:
        await GatewayWorker(self._settings, self._in_force, self._files, self._material, worker).serve()

    def _first_policy(self) -> InForce | None:
        options = self._settings.audit.policy
        if not options.file:
            return None
        in_force = understood(reader.read(options.file), options)
        for finding in in_force.warnings:
            logger.warning("%s", finding)
        return in_force

    def _ready(self, host: str, port: int) -> None:
        url = listen.Served(host, port, tls=self._material is not None).url
        certificate = self._material.pair.certificate_pem if self._material is not None else b""
        handing_out.write(self._settings.upstream, url, certificate)
        count = self._settings.workers
        self._announce(f"audit: {self._plumbing}, in {count} worker{'s' * (count != 1)}")
        if self._metrics_url:
            self._announce(f"metrics on {self._metrics_url}")
        self._announce(f"listening on {url}")

    # What runs beside the workers.

    @contextlib.asynccontextmanager
    async def _beside(self, supervisor: Supervisor) -> AsyncIterator[None]:
        async def counted() -> AuditCounters:
            total = merged(map(restored, await supervisor.gather()))
            total.certificates = dict(self._ends)
            return total

        async with contextlib.AsyncExitStack() as stack:
            await self._tell_what_others_left(supervisor)
            if self._settings.health.address:
                health = Health(counted, supervisor.problems)
                served = await stack.enter_async_context(listen.serve(health, self._settings.health.address))
                self._metrics_url = f"{served.url}/metrics"
            looking = asyncio.create_task(self._look_after_certificates(supervisor))
            stack.callback(looking.cancel)
            yield

    async def _look_after_certificates(self, supervisor: Supervisor) -> None:
        while self._files.enabled:
            for warning in self._expiry.warnings(self._ends, time.time()):
                logger.warning("%s", warning)
            await asyncio.sleep(LOOK_EVERY_S)
            self._follow_certificates(supervisor)

    async def _tell_what_others_left(self, supervisor: Supervisor) -> None:
        """Tell of workers that there were more of at an earlier start: nobody else would."""
        del supervisor
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

    def _hung_up(self, supervisor: Supervisor) -> None:
        supervisor.tell({"kind": "reopen"})
        self._follow_certificates(supervisor)
        if self._in_force is not None:
            self._follow_policy(supervisor, self._in_force)

    def _follow_policy(self, supervisor: Supervisor, old: InForce) -> None:
        problem = refused = ""
        try:
            new = read_again(self._settings.audit.policy)
        except RefusedError as error:
            problem, refused, new = error.problem, error.sha256, old
            logger.warning("the policy stays as it was: %s", problem)
        else:
            self._in_force = new
            supervisor.tell({"kind": "policy", "text": base64.b64encode(new.text).decode()})
            for finding in new.warnings:
                logger.warning("%s", finding)
            self._announce(f"the policy {self._settings.audit.policy.file} is in force (sha256 {new.sha256})")
        if not supervisor.tell_one({"kind": "told", "in_force": new.sha256, "problem": problem, "refused": refused}):
            logger.warning("no worker serves just now that could write an event about the policy")

    def _follow_certificates(self, supervisor: Supervisor) -> None:
        if not self._files.changed():
            return
        try:
            self._material = self._files.read()
        except DecklogError as error:
            logger.warning("the certificates stay as they were: %s", error)
            return
        self._ends = self._material.ends() if self._material is not None else {}
        supervisor.tell({"kind": "tls"})
        self._announce("the listener's certificates were read again")


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
