from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ask.logs import ref
from decklog.ask.names import plural, resource_patterns, split_object
from decklog.audit.query import admits
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from decklog.audit.event import ObjectReference


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("deploy", "deployments"),
        ("deployment", "deployments"),
        ("Deployment", "deployments"),
        ("deployments", "deployments"),
        ("cm", "configmaps"),
        ("ns", "namespaces"),
        ("po", "pods"),
        ("svc", "services"),
        ("sa", "serviceaccounts"),
        ("pvc", "persistentvolumeclaims"),
        ("ing", "ingresses"),
        ("netpol", "networkpolicies"),
        ("hpa", "horizontalpodautoscalers"),
        ("crd", "customresourcedefinitions"),
        ("csr", "certificatesigningrequests"),
        ("ev", "events"),
        ("endpoints", "endpoints"),
        ("Widgets", "widgets"),
    ],
)
def test_every_name_that_kubectl_takes_leads_to_the_plural(word: str, expected: str) -> None:
    """Short name, singular, kind and plural mean the resource; a word that is not known is taken as it is."""
    assert plural(word) == expected


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        ("deploy", ref("deployments", group="apps"), ref("daemonsets", group="apps")),
        ("deploy.apps", ref("deployments", group="apps"), ref("deployments", group="extensions")),
        ("deployments.v1.apps", ref("deployments", group="apps"), ref("deployments", group="extensions")),
        ("pods.v1.", ref("pods"), ref("pods", group="metrics.k8s.io")),
        ("pods.v1", ref("pods", group="metrics.k8s.io"), ref("nodes")),
        ("leases.coordination.k8s.io", ref("leases", group="coordination.k8s.io"), ref("leases", group="x")),
        ("po/log", ref("pods", subresource="log"), ref("pods")),
        ("-ev", ref("pods"), ref("events")),
        ("all", ref("statefulsets", group="apps"), ref("secrets")),
        ("-all", ref("secrets"), ref("deployments", group="apps")),
    ],
)
def test_a_resource_by_any_of_its_spellings(text: str, yes: ObjectReference, no: ObjectReference) -> None:
    """The parts round the name (group, version, subresource, negation) stay what they are."""
    patterns = resource_patterns(text)
    assert admits(patterns, yes)
    assert not admits(patterns, no)


@pytest.mark.parametrize(
    ("words", "kind", "names"),
    [
        (("pods",), "pods", ()),
        (("deploy/web",), "deploy", ("web",)),
        (("deployment", "web"), "deployment", ("web",)),
        (("pod", "a", "b*"), "pod", ("a", "b*")),
        (("pods/web/exec",), "pods/exec", ("web",)),
        (("pods//exec",), "pods/exec", ()),
        (("deploy/",), "deploy", ()),
    ],
)
def test_an_object_is_named_as_for_kubectl(words: tuple[str, ...], kind: str, names: tuple[str, ...]) -> None:
    """TYPE, TYPE/NAME and TYPE NAME… mean what they mean to kubectl; a third part is a subresource."""
    assert split_object(words) == (kind, names)


@pytest.mark.parametrize("words", [("/web",), ("a/b/c/d",), ("deploy/web", "api"), ("",)])
def test_what_names_no_object_is_refused(words: tuple[str, ...]) -> None:
    """A spelling that kubectl would refuse, too, is an error which shows the right ones."""
    with pytest.raises(DecklogError, match="TYPE/NAME"):
        split_object(words)
