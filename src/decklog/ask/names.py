"""Names of resources, as kubectl knows them: short names, singulars and kinds → the plural that events carry.

An API server tells clients its names by discovery; a log has none, so the built-in ones stand here, with those of a few
custom resources that nearly every cluster has. A word that is not in the table is taken as it is.
"""

from __future__ import annotations

from typing import Final

from decklog.audit.query import ResourcePattern
from decklog.errors import DecklogError

_TABLE: Final = """
bindings                        binding
componentstatuses               componentstatus cs
configmaps                      configmap cm
endpoints                       endpoint ep
events                          event ev
limitranges                     limitrange limits
namespaces                      namespace ns
nodes                           node no
persistentvolumeclaims          persistentvolumeclaim pvc
persistentvolumes               persistentvolume pv
pods                            pod po
podtemplates                    podtemplate
replicationcontrollers          replicationcontroller rc
resourcequotas                  resourcequota quota
secrets                         secret
serviceaccounts                 serviceaccount sa
services                        service svc
mutatingwebhookconfigurations   mutatingwebhookconfiguration
validatingwebhookconfigurations validatingwebhookconfiguration
validatingadmissionpolicies     validatingadmissionpolicy
validatingadmissionpolicybindings validatingadmissionpolicybinding
mutatingadmissionpolicies       mutatingadmissionpolicy
mutatingadmissionpolicybindings mutatingadmissionpolicybinding
customresourcedefinitions       customresourcedefinition crd crds
apiservices                     apiservice
controllerrevisions             controllerrevision
daemonsets                      daemonset ds
deployments                     deployment deploy
replicasets                     replicaset rs
statefulsets                    statefulset sts
selfsubjectreviews              selfsubjectreview
tokenreviews                    tokenreview
localsubjectaccessreviews       localsubjectaccessreview
selfsubjectaccessreviews        selfsubjectaccessreview
selfsubjectrulesreviews         selfsubjectrulesreview
subjectaccessreviews            subjectaccessreview
horizontalpodautoscalers        horizontalpodautoscaler hpa
verticalpodautoscalers          verticalpodautoscaler vpa
cronjobs                        cronjob cj
jobs                            job
certificatesigningrequests      certificatesigningrequest csr
clustertrustbundles             clustertrustbundle
leases                          lease
endpointslices                  endpointslice
flowschemas                     flowschema
prioritylevelconfigurations     prioritylevelconfiguration
ingressclasses                  ingressclass
ingresses                       ingress ing
ipaddresses                     ipaddress ip
networkpolicies                 networkpolicy netpol
servicecidrs                    servicecidr
runtimeclasses                  runtimeclass
poddisruptionbudgets            poddisruptionbudget pdb
podsecuritypolicies             podsecuritypolicy psp
clusterrolebindings             clusterrolebinding
clusterroles                    clusterrole
rolebindings                    rolebinding
roles                           role
deviceclasses                   deviceclass
resourceclaims                  resourceclaim
resourceclaimtemplates          resourceclaimtemplate
resourceslices                  resourceslice
priorityclasses                 priorityclass pc
csidrivers                      csidriver
csinodes                        csinode
csistoragecapacities            csistoragecapacity
storageclasses                  storageclass sc
volumeattachments               volumeattachment
volumeattributesclasses         volumeattributesclass vac
volumesnapshots                 volumesnapshot vs
applications                    application app apps
appprojects                     appproject appproj
certificates                    certificate cert certs
certificaterequests             certificaterequest cr crs
clusterissuers                  clusterissuer
issuers                         issuer
gateways                        gateway gtw
gatewayclasses                  gatewayclass gc
httproutes                      httproute
helmreleases                    helmrelease hr
kustomizations                  kustomization ks
gitrepositories                 gitrepository gitrepo
servicemonitors                 servicemonitor smon
podmonitors                     podmonitor pmon
prometheusrules                 prometheusrule promrule
routes                          route
deploymentconfigs               deploymentconfig dc
projects                        project
"""

_PLURALS: Final = {
    word: plural for plural, *others in map(str.split, _TABLE.strip().splitlines()) for word in (plural, *others)
}
_NEAR: Final = 0.8
"""How alike two words are that are one word with a slip."""
_ALL: Final = ("po", "rc", "svc", "ds", "deploy", "rs", "sts", "hpa", "jobs", "cj")


def plural(word: str) -> str:
    """Give the plural that events carry, for any name that kubectl takes; other words as they are, in lower case."""
    return _PLURALS.get(word.lower(), word.lower())


def is_known(word: str) -> bool:
    """Tell whether a type is in the table, or names its group."""
    return word.lower() in _PLURALS or "." in word


def nearest(word: str) -> str:
    """Give the plural of the known name that a word is most like; empty if it is like none."""
    from difflib import get_close_matches  # noqa: PLC0415  # because: 2 ms that only a slip of the finger has to pay

    near = get_close_matches(word.lower(), _PLURALS, n=1, cutoff=_NEAR)
    return _PLURALS[near[0]] if near else ""


def known_names() -> tuple[str, ...]:
    """Give the plurals of the table."""
    return tuple(dict.fromkeys(_PLURALS.values()))


def resource_patterns(text: str) -> tuple[ResourcePattern, ...]:
    """Read ``deploy``, ``Deployment``, ``deployments.apps``, ``deployments.v1.apps``, ``pods/log``, ``-ev`` or ``all``.

    `all` is what kubectl means by it: the common workloads.
    """
    negated = len(text) > 1 and text.startswith("-")
    head, slash, subresource = text.removeprefix("-" if negated else "").partition("/")
    resource, dot, group = head.partition(".")
    rest = f"{dot}{_without_version(group)}{slash}{subresource}"
    words = _ALL if resource == "all" and not dot else (resource,)
    return tuple(ResourcePattern.parse(f"{'-' if negated else ''}{plural(word)}{rest}") for word in words)


def _without_version(group: str) -> str:
    """Drop the version from kubectl's RESOURCE.VERSION.GROUP."""
    head, dot, rest = group.partition(".")
    is_version = head[:1] == "v" and head[1:2].isdigit()
    if not is_version:
        return group
    return rest if dot else "*"


def split_object(words: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Read what kubectl reads: ``TYPE``, ``TYPE/NAME`` or ``TYPE NAME…`` → the type and the names.

    A subresource is written ``TYPE/NAME/SUBRESOURCE`` or, without a name, ``TYPE//SUBRESOURCE``; it comes back with the
    type, as ``TYPE/SUBRESOURCE``. Raises DecklogError.
    """
    kind, *names = words
    parts = kind.split("/")
    if len(parts) > 3 or not parts[0] or (len(parts) > 1 and names):
        raise DecklogError(
            f"{' '.join(words)!r} is not an object: write TYPE, TYPE/NAME or TYPE NAME, as kubectl does;"
            " a log is named by -f FILE"
        )
    if len(parts) == 3:
        parts[0] += f"/{parts[2]}"
    return parts[0], (*filter(None, parts[1:2]), *names)
