"""Access: the API server behind a door (the upstream) and our own credentials for it, kept fresh.

Lives in the cellar, on top of `kubeconfig` and `certificates`; knows nothing of audit and speaks no HTTP. What lives
here: `Access` and what it is opened from, exec plugins, the options, and the kubeconfig that is handed out to users.
"""

from decklog.access.opening import from_kubeconfig, from_options, in_cluster
from decklog.access.options import UpstreamOptions
from decklog.access.upstream import Access

__all__ = ["Access", "UpstreamOptions", "from_kubeconfig", "from_options", "in_cluster"]
