"""Lint: what is worth a word in a policy that loads: each with its place, a stable code, why, and what to write.

Here live the families of checks, one a module, each a function from `Subject` to `Remark`s; the registry of codes
(`codes`); the requests that checks ask the policy about (`probes`); `checking`, which runs them all over one file; and
SARIF. What never lives here: files, sockets, printing. Whether something is recorded is always asked of the evaluator
and so answered by the first rule that matches, never by reading one rule alone.
"""

from decklog.policy.lint.checking import Report, check
from decklog.policy.lint.codes import CODES, Code
from decklog.policy.lint.remarks import Remark

__all__ = ["CODES", "Code", "Remark", "Report", "check"]
