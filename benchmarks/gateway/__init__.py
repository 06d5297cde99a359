"""`make bench-gateway`: what the gateway costs, against nginx and HAProxy in the same run.

The figure is CPU time: the gateway stands alone on the first core; load and upstream share the second, so that a slow
load makes a run longer and no figure better. Rounds of all proxies are interleaved, and the median is told.

| module | what |
|---|---|
| `ground` | what a run stands on: certificates, kubeconfig, policy, cores |
| `upstream` | the server behind the proxies: canned answers |
| `carriers` | the proxies as processes: the gateway, nginx, HAProxy, and none at all |
| `usage` | CPU time and memory of a process and its children, from /proc |
| `load` | the clients |
| `measures` | a load on a proxy, as a figure |
"""
