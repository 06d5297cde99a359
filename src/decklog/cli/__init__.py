"""The helm: people speak here. Parse the command line, call a room, print.

Here live the commands (one module a command, imported only when it is called), the options that several share, and all
printing. What never lives here: anything that a program would want to call; that belongs to the room it is about.

Exit codes: 0 done, 1 nothing found (or findings, where a command says so), 2 the user's input, 3 a door cannot bind
or dies serving, 130 Ctrl-C. Errors are one line on stderr: ``decklog: what is wrong: what to do``.
"""

from __future__ import annotations

import sys
from pathlib import PurePath

import click

from decklog import __version__
from decklog.cli.helm import Entry, Helm

decklog = Helm(
    "decklog",
    {
        "who": Entry("decklog.cli.who", "Say who did something to an object."),
        "query": Entry("decklog.cli.query", "List the requests that pass a filter."),
        "tail": Entry("decklog.cli.tail", "Follow a log: list the requests that pass a filter as they come."),
        "show": Entry("decklog.cli.show", "Answer the six questions about one request."),
        "history": Entry("decklog.cli.history", "Say who changed an object, when, from where, and what changed."),
        "get": Entry("decklog.cli.get", "Show an object as the log last shows it, at a time."),
        "denied": Entry("decklog.cli.denied", "Say who was refused what, and what that reads like."),
        "exec": Entry("decklog.cli.exec", "List the sessions in pods: who, when, how long, which command."),
        "secrets": Entry("decklog.cli.secrets", "Say who touched which secret, how, and how often."),
        "top": Entry("decklog.cli.top", "Count requests: who, or what, makes most of them."),
        "timeline": Entry("decklog.cli.timeline", "Draw the number of requests over time."),
        "deprecated": Entry("decklog.cli.deprecated", "Say which clients call deprecated APIs."),
        "rbac": Entry("decklog.cli.rbac", "Write the least RBAC roles for what a user or group did."),
        "sql": Entry("decklog.cli.sql", "Run one SELECT over a log, read-only, in DuckDB's dialect."),
        "export": Entry("decklog.cli.export", "Write a log in another format."),
        "policy": Entry("decklog.cli.policy", "Check audit policies, and find out what they record."),
        "gateway": Entry("decklog.cli.gateway", "Audit what goes to an API server, in front of it."),
        "receive": Entry(
            "decklog.cli.receive", "Take the events that kube-apiserver's audit webhook sends, and keep them."
        ),
        "web": Entry("decklog.cli.web", "Look at a log or a store in a browser."),
        "serve": Entry(
            "decklog.cli.serve", "Serve with gateway, receiver, store and pages from one configuration file."
        ),
        "import": Entry("decklog.cli.importing", "Put audit logs into a store, each event once."),
        "status": Entry(
            "decklog.cli.status", "Say what is recorded, where it goes, how long it is kept, and what is missing."
        ),
        "certificates": Entry(
            "decklog.cli.certificates", "Make a CA and both ends' certificates, for a receiver and who sends to it."
        ),
        "store": Entry("decklog.cli.store", "Look after a store: check, compact, delete by age."),
        "enable": Entry("decklog.cli.enable", "Switch audit logging on, in the manifest of kube-apiserver."),
        "sandbox": Entry("decklog.cli.sandbox", "Run a small in-memory API server whose requests are audited."),
        "completion": Entry("decklog.cli.completion", "Print the script that teaches a shell to complete decklog."),
        "demo": Entry("decklog.cli.demo", "See it work: a sandbox, three users, the log and the answers."),
    },
    help="Audit logging for Kubernetes: decide, record, carry and ask.",
    epilog="Example: decklog who deleted deploy/web -n shop -f /var/log/kubernetes/audit.log",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
click.version_option(__version__, message="%(prog)s %(version)s")(decklog)


def main() -> None:
    """Run the program; called as ``kubectl-decklog`` it is kubectl's plugin and says so."""
    is_plugin = PurePath(sys.argv[0]).name.startswith("kubectl-")
    decklog.main(prog_name="kubectl decklog" if is_plugin else "decklog")
