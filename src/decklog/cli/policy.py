"""``decklog policy``: the policy workbench. Its commands are imported when they are called, as the program's own."""

from __future__ import annotations

from decklog.cli.helm import Entry, Helm

command = Helm(
    "policy",
    {
        "check": Entry(
            "decklog.cli.policy_check",
            "Check audit policies: errors, and warnings with a reason and what to write instead.",
        ),
        "explain": Entry(
            "decklog.cli.policy_explain",
            "Explain which rule decides on a request, why none before it does, and what is written.",
        ),
        "test": Entry("decklog.cli.policy_test", "Test a policy against a table of requests and what is expected."),
        "diff": Entry(
            "decklog.cli.policy_diff",
            "Say what is recorded more, less or no longer when one policy takes another's place.",
        ),
        "replay": Entry("decklog.cli.policy_replay", "Show what a policy would make of a recorded log."),
        "apply": Entry(
            "decklog.cli.policy_apply", "Apply a policy to a recorded log, and write what it keeps to standard output."
        ),
        "suggest": Entry("decklog.cli.policy_suggest", "Suggest a policy that fits recorded traffic."),
    },
    help="Check audit policies, and find out what they record.",
    epilog="Example: decklog policy check policy.yaml",
)
