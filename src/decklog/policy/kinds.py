"""Kinds: the resources that Kubernetes' API server has, by group, with the releases that serve them (1.24 to 1.37).

A built-in table, and what a cluster's own discovery adds to it (`discovery`). The checks of `lint` ask here whether a
resource of a rule exists, where else it is, and how it is spelled.

In the table a resource counts as served from the first release that can serve it, as an alpha or behind a feature gate,
too: a name is only called wrong where no cluster of that release can have it. What an older release served and 1.24 no
longer does is in the table, so that "gone" can be told from "misspelled".
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ALWAYS: Final = 0
_STILL: Final = 1 << 16


class Kind(Struct, frozen=True):
    """One resource of one API group. With an empty name: the group is there, and what it has is not known."""

    group: str
    resource: str
    kind: str
    singular: str
    namespaced: bool = True
    subresources: tuple[str, ...] = ()
    """Of all releases."""
    short_names: tuple[str, ...] = ()
    first: int = _ALWAYS
    """The minor release that first serves it; 0: one before 1.24."""
    last: int = _STILL
    """The minor release that last serves it."""

    def served(self, minor: int) -> bool:
        """Whether a server of this minor release can serve it."""
        return self.first <= minor <= self.last

    @property
    def gone(self) -> bool:
        """Whether newer releases no longer serve it."""
        return self.last != _STILL

    @property
    def qualified(self) -> str:
        """``deployments.apps``; ``pods`` for the core group."""
        return f"{self.resource}.{self.group}" if self.group else self.resource


class Kinds:
    """Resources that are known, and for which groups all of them are."""

    def __init__(self, rows: Iterable[Kind]) -> None:
        self._by_name = {(row.group, row.resource): row for row in rows}
        self._by_resource: dict[str, list[Kind]] = {}
        self._by_spelling: dict[str, list[Kind]] = {}
        self._by_group: dict[str, list[Kind]] = {}
        for row in self._by_name.values():
            self._by_resource.setdefault(row.resource, []).append(row)
            self._by_group.setdefault(row.group, []).append(row)
            if not row.resource:
                continue
            for spelling in dict.fromkeys((row.kind.lower(), row.singular, *row.short_names)):
                self._by_spelling.setdefault(spelling, []).append(row)

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._by_name.values())

    def __or__(self, others: Iterable[Kind]) -> Kinds:
        """Add what a cluster serves; where both know a resource, the cluster's word counts."""
        return Kinds((*self, *others))

    @property
    def groups(self) -> tuple[str, ...]:
        """Every group that is known."""
        return tuple(self._by_group)

    def of_group(self, group: str) -> tuple[Kind, ...]:
        """Give the resources of a group; none: the group is not known."""
        return tuple(self._by_group.get(group, ()))

    def is_open(self, group: str) -> bool:
        """Whether a group may have resources that are not known: then no name in it is wrong."""
        return not self.of_group(group) or (group, "") in self._by_name

    def find(self, group: str, resource: str) -> Kind | None:
        """Find a resource of a group."""
        return self._by_name.get((group, resource))

    def named(self, resource: str) -> tuple[Kind, ...]:
        """Give the resources of this name, in whatever group."""
        return tuple(self._by_resource.get(resource, ()))

    def spelled(self, text: str, group: str | None = None) -> tuple[Kind, ...]:
        """Give the resources that a kind, a singular or a short name stands for, those of `group` first."""
        found = self._by_spelling.get(text.lower(), ())
        return tuple(sorted(found, key=lambda row: row.group != group))

    def with_subresource(self, name: str) -> tuple[Kind, ...]:
        """Give the resources that have a subresource of this name."""
        return tuple(row for row in self if name in row.subresources)

    def near(self, group: str, resource: str) -> str:
        """Give the name of the group's resource that is spelled nearly so; empty: none is."""
        close = get_close_matches(resource[:60].lower(), [row.resource for row in self.of_group(group)], 1, 0.8)
        return close[0] if close else ""

    def near_group(self, group: str) -> str:
        """Give the group that is spelled nearly so, or begins so; empty: none is."""
        lower = group[:100].lower()
        short = [known for known in self.groups if known.partition(".")[0] == lower.partition(".")[0] and known]
        close = get_close_matches(lower, filter(None, self.groups), 1, 0.8)
        return (short or close or [""])[0]


@cache
def built_in() -> Kinds:
    """Give Kubernetes' own resources."""
    return Kinds(_rows(_TABLE))


def _rows(table: str) -> Iterator[Kind]:
    group = ""
    for line in table.splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "group":
            group = "" if words[1] == "core" else words[1]
            continue
        resource, kind, scope, subresources, short, served = words
        first, last = _span(served)
        yield Kind(group, resource, kind, kind.lower(), scope == "n", _words(subresources), _words(short), first, last)


def _words(text: str) -> tuple[str, ...]:
    return () if text == "-" else tuple(text.split(","))


def _span(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return int(first or _ALWAYS), int(last or _STILL)


# resource, kind, n(amespaced) or c(luster-scoped), subresources, short names, first-last minor release.
_TABLE: Final = """
group core
bindings Binding n - - -
componentstatuses ComponentStatus c - cs -
configmaps ConfigMap n - cm -
endpoints Endpoints n - ep -
events Event n - ev -
limitranges LimitRange n - limits -
namespaces Namespace c finalize,status ns -
nodes Node c proxy,status no -
persistentvolumeclaims PersistentVolumeClaim n status pvc -
persistentvolumes PersistentVolume c status pv -
pods Pod n attach,binding,ephemeralcontainers,eviction,exec,log,portforward,proxy,resize,status po -
podtemplates PodTemplate n - - -
replicationcontrollers ReplicationController n scale,status rc -
resourcequotas ResourceQuota n status quota -
secrets Secret n - - -
serviceaccounts ServiceAccount n token sa -
services Service n proxy,status svc -
group admissionregistration.k8s.io
mutatingadmissionpolicies MutatingAdmissionPolicy c - - 32-
mutatingadmissionpolicybindings MutatingAdmissionPolicyBinding c - - 32-
mutatingwebhookconfigurations MutatingWebhookConfiguration c - - -
validatingadmissionpolicies ValidatingAdmissionPolicy c status - 26-
validatingadmissionpolicybindings ValidatingAdmissionPolicyBinding c - - 26-
validatingwebhookconfigurations ValidatingWebhookConfiguration c - - -
group apiextensions.k8s.io
customresourcedefinitions CustomResourceDefinition c status crd,crds -
group apiregistration.k8s.io
apiservices APIService c status - -
group apps
controllerrevisions ControllerRevision n - - -
daemonsets DaemonSet n status ds -
deployments Deployment n scale,status deploy -
replicasets ReplicaSet n scale,status rs -
statefulsets StatefulSet n scale,status sts -
group auditregistration.k8s.io
auditsinks AuditSink c - - -18
group authentication.k8s.io
selfsubjectreviews SelfSubjectReview c - - 26-
tokenreviews TokenReview c - - -
group authorization.k8s.io
localsubjectaccessreviews LocalSubjectAccessReview n - - -
selfsubjectaccessreviews SelfSubjectAccessReview c - - -
selfsubjectrulesreviews SelfSubjectRulesReview c - - -
subjectaccessreviews SubjectAccessReview c - - -
group autoscaling
horizontalpodautoscalers HorizontalPodAutoscaler n status hpa -
group batch
cronjobs CronJob n status cj -
jobs Job n status - -
group certificates.k8s.io
certificatesigningrequests CertificateSigningRequest c approval,status csr -
clustertrustbundles ClusterTrustBundle c - - 27-
podcertificaterequests PodCertificateRequest n status - 34-
group coordination.k8s.io
leases Lease n - - -
leasecandidates LeaseCandidate n - - 31-
group discovery.k8s.io
endpointslices EndpointSlice n - - -
group events.k8s.io
events Event n - ev -
group extensions
daemonsets DaemonSet n status ds -15
deployments Deployment n rollback,scale,status deploy -15
ingresses Ingress n status ing -21
networkpolicies NetworkPolicy n - netpol -15
podsecuritypolicies PodSecurityPolicy c - psp -15
replicasets ReplicaSet n scale,status rs -15
group flowcontrol.apiserver.k8s.io
flowschemas FlowSchema c status - -
prioritylevelconfigurations PriorityLevelConfiguration c status - -
group internal.apiserver.k8s.io
storageversions StorageVersion c status - -
group metrics.k8s.io
nodes NodeMetrics c - - -
pods PodMetrics n - - -
group networking.k8s.io
clustercidrs ClusterCIDR c - cc 25-28
ingressclasses IngressClass c - - -
ingresses Ingress n status ing -
ipaddresses IPAddress c - ip 27-
networkpolicies NetworkPolicy n - netpol -
servicecidrs ServiceCIDR c status - 29-
group node.k8s.io
runtimeclasses RuntimeClass c - - -
group policy
poddisruptionbudgets PodDisruptionBudget n status pdb -
podsecuritypolicies PodSecurityPolicy c - psp -24
group rbac.authorization.k8s.io
clusterrolebindings ClusterRoleBinding c - - -
clusterroles ClusterRole c - - -
rolebindings RoleBinding n - - -
roles Role n - - -
group resource.k8s.io
deviceclasses DeviceClass c - - 31-
devicetaintrules DeviceTaintRule c status - 33-
podschedulingcontexts PodSchedulingContext n status - 27-31
podschedulings PodScheduling n status - 26-26
resourceclaimparameters ResourceClaimParameters n - - 30-30
resourceclaims ResourceClaim n status - 26-
resourceclaimtemplates ResourceClaimTemplate n - - 26-
resourceclasses ResourceClass c - - 26-30
resourceclassparameters ResourceClassParameters n - - 30-30
resourcepoolstatusrequests ResourcePoolStatusRequest c status - 36-
resourceslices ResourceSlice c - - 30-
group scheduling.k8s.io
podgroups PodGroup n status - 36-
priorityclasses PriorityClass c - pc -
workloads Workload n - - 35-
group settings.k8s.io
podpresets PodPreset n - - -19
group storage.k8s.io
csidrivers CSIDriver c - - -
csinodes CSINode c - - -
csistoragecapacities CSIStorageCapacity n - - -
storageclasses StorageClass c - sc -
volumeattachments VolumeAttachment c status - -
volumeattributesclasses VolumeAttributesClass c - vac 29-
group storagemigration.k8s.io
storageversionmigrations StorageVersionMigration c status - 30-
"""
