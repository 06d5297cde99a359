"""The gateway: a reverse proxy in front of a Kubernetes API server that applies an audit policy of its own.

Lives here: the connections to clients and to the upstream, one exchange a request, who the caller is (`identity`), and
as whom the request goes on (`towards`). What never lives here: how an event looks, where events go, the sandbox, and
the reading of kubeconfigs.
"""
