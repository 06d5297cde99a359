"""decklog: audit logging for Kubernetes, whole.

The house has floors; a module looks down, never up, never sideways (docs/architecture.md, held by import-linter):
helm (cli) > bridge (assembly, config) > doors (asgi, sandbox) > upper rooms (ask) > lower rooms (policy, recorder,
backends, sources, testing) > hall (audit) > cellar (listen, certificates, disk, metrics, errors).
"""

__version__ = "0.1.0"
