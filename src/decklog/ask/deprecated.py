"""Deprecated: who still calls API versions that newer releases of Kubernetes do not serve.

Told by the server's own annotations (``k8s.io/deprecated``, ``k8s.io/removed-release``), or by a table of what was
removed, for logs that a proxy or an older server wrote without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable

    from decklog.ask.requests import Request
    from decklog.audit.event import Event

DEPRECATED: Final = "k8s.io/deprecated"
REMOVED_RELEASE: Final = "k8s.io/removed-release"

# group/version, resources (none: all), the release that no longer serves them, what to use instead
_REMOVED: Final = """
extensions/v1beta1 daemonsets,deployments,replicasets 1.16 apps/v1
extensions/v1beta1 networkpolicies 1.16 networking.k8s.io/v1
extensions/v1beta1 podsecuritypolicies 1.16 -
extensions/v1beta1 ingresses 1.22 networking.k8s.io/v1
apps/v1beta1 - 1.16 apps/v1
apps/v1beta2 - 1.16 apps/v1
admissionregistration.k8s.io/v1beta1 mutatingwebhookconfigurations 1.22 admissionregistration.k8s.io/v1
admissionregistration.k8s.io/v1beta1 validatingwebhookconfigurations 1.22 admissionregistration.k8s.io/v1
apiextensions.k8s.io/v1beta1 - 1.22 apiextensions.k8s.io/v1
apiregistration.k8s.io/v1beta1 - 1.22 apiregistration.k8s.io/v1
authentication.k8s.io/v1beta1 tokenreviews 1.22 authentication.k8s.io/v1
authorization.k8s.io/v1beta1 - 1.22 authorization.k8s.io/v1
certificates.k8s.io/v1beta1 certificatesigningrequests 1.22 certificates.k8s.io/v1
coordination.k8s.io/v1beta1 leases 1.22 coordination.k8s.io/v1
networking.k8s.io/v1beta1 ingresses,ingressclasses 1.22 networking.k8s.io/v1
rbac.authorization.k8s.io/v1alpha1 - 1.23 rbac.authorization.k8s.io/v1
rbac.authorization.k8s.io/v1beta1 - 1.22 rbac.authorization.k8s.io/v1
scheduling.k8s.io/v1beta1 - 1.22 scheduling.k8s.io/v1
storage.k8s.io/v1beta1 csidrivers,csinodes,storageclasses,volumeattachments 1.22 storage.k8s.io/v1
batch/v1beta1 cronjobs 1.25 batch/v1
discovery.k8s.io/v1beta1 endpointslices 1.25 discovery.k8s.io/v1
events.k8s.io/v1beta1 - 1.25 events.k8s.io/v1
autoscaling/v2beta1 - 1.25 autoscaling/v2
policy/v1beta1 poddisruptionbudgets 1.25 policy/v1
policy/v1beta1 podsecuritypolicies 1.25 -
node.k8s.io/v1beta1 runtimeclasses 1.25 node.k8s.io/v1
autoscaling/v2beta2 - 1.26 autoscaling/v2
flowcontrol.apiserver.k8s.io/v1beta1 - 1.26 flowcontrol.apiserver.k8s.io/v1
storage.k8s.io/v1beta1 csistoragecapacities 1.27 storage.k8s.io/v1
flowcontrol.apiserver.k8s.io/v1beta2 - 1.29 flowcontrol.apiserver.k8s.io/v1
flowcontrol.apiserver.k8s.io/v1beta3 - 1.32 flowcontrol.apiserver.k8s.io/v1
"""


class Removal(Struct, frozen=True):
    """That a version of a resource is served no longer."""

    release: str
    """The first that does not serve it; empty: not known."""
    instead: str = ""


def _table() -> dict[tuple[str, str], Removal]:
    found = {}
    for line in _REMOVED.split("\n"):
        if line:
            version, resources, release, instead = line.split(" ")
            for resource in resources.split(","):
                key = "" if resource == "-" else resource
                found[version, key] = Removal(release, "" if instead == "-" else instead)
    return found


_TABLE: Final = _table()


class Use(Struct, kw_only=True, rename="camel"):
    """One client's use of one deprecated API."""

    api: str
    """``batch/v1beta1/cronjobs``."""
    removed: str
    """The release that no longer serves it; empty: not known."""
    instead: str
    user: str
    user_agent: str
    verbs: tuple[str, ...]
    requests: int
    first: str | None
    last: str | None
    told_by: str
    """``annotation`` or ``table``."""


def removal(event: Event) -> tuple[Removal, str] | None:
    """Tell whether an event is about a deprecated API, and by what one knows."""
    ref = event.object_ref
    known = None
    if ref is not None and ref.resource:
        version = f"{ref.api_group}/{ref.api_version}" if ref.api_group else ref.api_version
        known = _TABLE.get((version, ref.resource)) or _TABLE.get((version, ""))
    if event.annotations.get(DEPRECATED) == "true":
        release = event.annotations.get(REMOVED_RELEASE) or (known.release if known else "")
        return Removal(release, known.instead if known else ""), "annotation"
    return (known, "table") if known else None


def deprecated(requests: Iterable[Request]) -> list[Use]:
    """Sum up requests to deprecated APIs by API and client; the soonest removed and the most used first."""
    uses: dict[tuple[str, str, str], Use] = {}
    for request in requests:
        event = request.latest.event
        if (found := removal(event)) is not None:
            _count(uses, event, *found)
    return sorted(uses.values(), key=lambda use: (_release(use.removed), -use.requests, use.api, use.user))


def _count(uses: dict[tuple[str, str, str], Use], event: Event, gone: Removal, told_by: str) -> None:
    ref = event.object_ref
    name = "/".join(filter(None, (ref.api_group, ref.api_version, ref.resource))) if ref else event.request_uri
    key = (name, event.user.username, event.user_agent)
    time = event.request_received_timestamp
    use = uses.get(key)
    if use is None:
        use = uses[key] = Use(
            api=name,
            removed=gone.release,
            instead=gone.instead,
            user=event.user.username,
            user_agent=event.user_agent,
            verbs=(),
            requests=0,
            first=time,
            last=time,
            told_by=told_by,
        )
    use.requests += 1
    if event.verb not in use.verbs:
        use.verbs = tuple(sorted({*use.verbs, event.verb}))
    use.first = min(filter(None, (use.first, time)), default=None)
    use.last = max(filter(None, (use.last, time)), default=None)


def _release(text: str) -> tuple[int, ...]:
    parts = text.split(".")
    return (
        tuple(map(int, parts))
        if all(part.isascii() and part.isdigit() and len(part) < 9 for part in parts)
        else (1 << 30,)
    )
