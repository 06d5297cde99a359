"""The room that switches audit logging on, safely: shown first, proved, and undone if it does not serve.

Here live the manifest that kubelet runs kube-apiserver by (yaml_text, manifest), what is wanted of it (wanted), the
edit that changes nothing else (edit), its writing with a way back (writing), what is worth saying before (preflight,
cis), how other distributions are told the same (distributions), and what came of it (readiness, proof). What never
lives here: reading policies, which `policy` does, and anything that is printed.
"""
