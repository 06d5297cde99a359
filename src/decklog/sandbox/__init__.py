"""The sandbox: a small in-memory Kubernetes API server, honest about being one. A door; it knows nothing of gateways.

For the demo, for trying a policy with `kubectl`, and for tests. It is not audited by itself: assembly puts the audit
middleware round it. Lives here: what a client of the API can tell apart from a real server, split by what changes
together; never here: policies, recordings, backends.

What differs from kube-apiserver, beside what `controllers` invents and `decklog.listen` cannot do:

======================================  ==============================================================================
Difference                              Why
======================================  ==============================================================================
JSON and YAML only                      protobuf and CBOR would need the types' schemas; clients fall back to JSON
no CustomResourceDefinitions, webhooks  out of scope: built-in kinds, one version a group
or aggregated APIs
lists show the latest state; older      only changes are remembered, for watches (`Store`)
resourceVersions are 410
unknown fields are found where the      `shapes` names the fields of common kinds; below that, anything goes
sandbox knows a kind's fields
validation knows the common mistakes    a real server has hundreds of rules more (`validation`)
YAML without anchors, bodies nested at  nobody shall be able to stall the sandbox with a few bytes
most 128 deep
impersonation by the verb impersonate   constrained impersonation (1.36) is not built
alone
edit and admin may not impersonate      in the sandbox only cluster administrators may impersonate
service accounts
exec, attach, portforward and proxy     there are no containers; 501 with a Status
are refused
tokens of service accounts are opaque   nothing to sign them with; they work, and expire
/debug/panic                            only here: raises inside the application, for cluster administrators
======================================  ==============================================================================
"""
