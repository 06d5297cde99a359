"""``decklog enable``: audit logging switched on in kube-apiserver's manifest, shown first, proved, and undone."""

from __future__ import annotations

import os
import secrets
import sys
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from decklog.cli.flags import flags_from
from decklog.cli.nodes import MANIFEST, root_option
from decklog.cli.searching import tell
from decklog.enable.distributions import NAMES
from decklog.enable.wanted import AuditWanted
from decklog.errors import DecklogError
from decklog.options import Seconds, option

if TYPE_CHECKING:
    from collections.abc import Callable

    from decklog.cli.enable_report import Report
    from decklog.enable.backups import Record
    from decklog.enable.manifest import StaticPod
    from decklog.enable.trial import Trial
    from decklog.enable.writing import Manifests

NOT_DONE: Final = 1
STDIN: Final = "-"

_HELP: Final = f"""Switch audit logging on, in the manifest of kube-apiserver.

MANIFEST (default: {MANIFEST}) is edited in place: just the flags,
volumes and mounts that are needed; every other byte stays. Without --write the change is only shown, as a diff for
patch(1); what is worth knowing first goes to stderr. An audit flag that is not given stays as the manifest has it. A
path is the container's, and the host's where a mount has to be added.

\b
decklog enable --audit-policy-file audit-policy.yaml
decklog enable --audit-policy-file audit-policy.yaml --write --wait --prove
decklog enable --undo
decklog enable --for kind kind.yaml --audit-policy-file audit-policy.yaml
"""
_EPILOG: Final = """Exit code 0: nothing has to change, or with --write it is done; 1: there is something to change
(it was only shown), or something is grave and nothing was written, or it did not serve and the old manifest is back,
or no event was found; 2: the input is wrong, a conflict, or it could not be written: the manifest is as it was."""


@dataclass(frozen=True, slots=True)
class TrialOptions:
    """How long to wait for an API server."""

    timeout_s: float = option(
        "--timeout", Seconds(120), "With --wait and --prove: give up after this long.", metavar="DURATION"
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for, besides the audit flags."""

    path: str
    write: bool
    wait: bool
    prove: bool
    force: bool
    timeout_s: float
    kubeconfig: str
    context: str
    store: str
    root: Path
    backups: Path
    estimate_from: tuple[str, ...]
    output: str


@click.command("enable", help=_HELP, epilog=_EPILOG)
@click.argument("manifest", metavar="[MANIFEST]", required=False, type=click.Path())
@flags_from(AuditWanted, "wanted")
@click.option("--write", is_flag=True, help="Write it: with a backup, atomically, read again and compared.")
@click.option(
    "--wait", is_flag=True, help="Watch the API server come back; where it does not, put the old manifest back."
)
@click.option("--prove", is_flag=True, help="Make a marked request and find its event.")
@flags_from(TrialOptions, "trial")
@click.option("--undo", is_flag=True, help="Put back what stood there before the last edit.")
@click.option("--force", is_flag=True, help="Write in spite of grave findings.")
@click.option(
    "--backup-dir",
    default=None,
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="Where backups lie, outside of kubelet's directory.  [default: /var/lib/decklog/backups]",
)
@click.option("--estimate-from", multiple=True, metavar="LOG", help="Estimate traffic and memory from a recorded log.")
@click.option(
    "--kubeconfig", default="", metavar="FILE", help="For --wait and --prove: the API server and who asks it."
)
@click.option("--context", default="", metavar="NAME", help="Of the kubeconfig: another context than its current one.")
@click.option(
    "--store", default="", metavar="DIR", help="For --prove: the store of the receiver that takes the events."
)
@root_option
@click.option(
    "--for",
    "distribution",
    default="",
    metavar="NAME",
    help=f"Edit a distribution's own configuration: {', '.join(NAMES)}.",
)
@click.option("-o", "--output", type=click.Choice(("text", "json")), default="text", show_default=True)
def command(
    manifest: str | None,
    wanted: AuditWanted,
    trial: TrialOptions,
    write: bool,
    wait: bool,
    prove: bool,
    undo: bool,
    force: bool,
    backup_dir: str | None,
    estimate_from: tuple[str, ...],
    kubeconfig: str,
    context: str,
    store: str,
    root: str,
    distribution: str,
    output: str,
) -> None:
    """Switch audit logging on."""
    from decklog.enable.backups import DEFAULT  # noqa: PLC0415  # because: --help does not need the room

    asked = Asked(
        path=manifest or "",
        write=write,
        wait=wait,
        prove=prove,
        force=force,
        timeout_s=trial.timeout_s,
        kubeconfig=kubeconfig,
        context=context,
        store=store,
        root=Path(root),
        backups=Path(backup_dir) if backup_dir else DEFAULT,
        estimate_from=estimate_from,
        output=output,
    )
    if (wait or prove) and trial.timeout_s <= 0:
        raise DecklogError("--timeout has to be longer than nothing: give it as in 2m")
    if distribution:
        from decklog.cli.enable_distribution import enable_for  # noqa: PLC0415  # because: the same

        _refuse_with_for(undo=undo, wait=wait, prove=prove)
        code = enable_for(distribution, wanted, asked)
    elif undo:
        if write or _on_command_line("wanted__"):
            raise DecklogError("--undo restores what was there, and takes no flags: run it alone")
        code = _undo(asked)
    else:
        code = _enable(_absolute(wanted), asked)
    sys.stdout.flush()
    click.get_current_context().exit(code)


def _on_command_line(prefix: str) -> bool:
    """Whether a flag stands there; what comes from the environment keeps nobody from an undo."""
    context = click.get_current_context()
    given = (name for name in context.params if name.startswith(prefix))
    return any(context.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in given)


def _refuse_with_for(**flags: bool) -> None:
    for flag, given in flags.items():
        if given:
            raise DecklogError(f"--{flag} is for a manifest on its node: leave it out with --for")


def _absolute(wanted: AuditWanted) -> AuditWanted:
    """Make the paths absolute that a user gives relative to where he is; a log is the container's alone."""
    paths = {
        name: os.path.abspath(path)  # noqa: PTH100  # because: '..' has to go as well, and links are to stay
        for name in ("policy_file", "webhook_config_file")
        if (path := getattr(wanted, name))
    }
    return replace(wanted, **paths)


def manifests(asked: Asked) -> Manifests:
    """Make what reads, writes and restores."""
    from decklog.disk import Disk  # noqa: PLC0415  # because: the same
    from decklog.enable.backups import Backups  # noqa: PLC0415  # because: the same
    from decklog.enable.writing import Manifests  # noqa: PLC0415  # because: the same

    disk = Disk()
    return Manifests(disk, Backups(asked.backups, disk), lambda: datetime.now(UTC), lambda: secrets.token_hex(4))


def _enable(wanted: AuditWanted, asked: Asked) -> int:
    from decklog.cli.enable_report import Report  # noqa: PLC0415  # because: the same
    from decklog.enable.backups import is_kubelets  # noqa: PLC0415  # because: the same
    from decklog.enable.edit import MANIFESTS, plan  # noqa: PLC0415  # because: the same
    from decklog.enable.manifest import StaticPod  # noqa: PLC0415  # because: the same

    asked = replace(asked, path=asked.path or _usual(asked.root))
    files = manifests(asked)
    data = _read(files, asked)
    pod = StaticPod.read(data, "<stdin>" if asked.path == STDIN else asked.path)
    wanted = _with_files(wanted.with_destination(pod.values), pod, asked.root)
    directory = Path(asked.path).absolute().parent
    beside = [str(directory)] if is_kubelets(directory) else []
    edit = plan(pod, wanted, manifests=(MANIFESTS, *beside))
    if edit.changes and (asked.wait or asked.prove) and not asked.write:
        raise DecklogError("--wait and --prove are for what is in place: give --write as well")
    report = Report(asked.output, asked.path, edit)
    report.examine(asked.root, asked.estimate_from)
    if edit.changes and asked.write and report.grave and not asked.force:
        report.end("nothing was written: mend what is grave first, or give --force", written=False)
        return NOT_DONE
    if edit.changes and not asked.write:
        report.end(f"nothing was written: this would be changed in {asked.path}: give --write", written=False)
        return NOT_DONE
    if not edit.changes:
        _remind(files, asked.path, data)
    return _written(files, pod, report, asked) if edit.changes or asked.wait or asked.prove else report.unchanged()


def _usual(root: Path) -> str:
    """Give kubeadm's manifest on the node whose file system is at `root`. Raises DecklogError if there is none."""
    path = root / MANIFEST.lstrip("/")
    with suppress(PermissionError):  # who reads it is told so
        if not path.exists() and not path.is_symlink():
            raise DecklogError(
                f"{path} is not there: name the manifest, or edit the distribution's own configuration with --for NAME"
            )
    return str(path)


def _read(files: Manifests, asked: Asked) -> bytes:
    if asked.path != STDIN:
        return files.read(Path(asked.path))
    if asked.write or asked.wait or asked.prove:
        raise DecklogError("standard input can only be shown a change: name the manifest to write it")
    return sys.stdin.buffer.read(2 << 20)


def _with_files(wanted: AuditWanted, pod: StaticPod, root: Path) -> AuditWanted:
    """Add the files that the webhook's kubeconfig names; one that cannot be read is for the preflight to tell."""
    from decklog.kubeconfig import named_files  # noqa: PLC0415  # because: the same

    path = wanted.webhook_config_file or pod.value("--audit-webhook-config-file")
    if not path.startswith("/"):
        return wanted
    host = pod.host_of(path)
    place = root / (host.path if host else path).lstrip("/")
    with suppress(OSError):
        if place.is_file():
            return replace(wanted, webhook_files=named_files(place, path))
    return wanted


def _remind(files: Manifests, path: str, data: bytes) -> None:
    """Say that an earlier wait was cut short; who may not read the backups is not told."""
    from decklog.enable.writing import place_of  # noqa: PLC0415  # because: the same

    with suppress(DecklogError):
        record = files.backups.of(place_of(Path(path)), data)
        if record is not None and record.awaited:
            tell(
                f"this manifest was written at {record.written}, and nobody saw its API server serve: "
                "--wait waits for it, --undo puts the old one back"
            )


def _written(files: Manifests, pod: StaticPod, report: Report, asked: Asked) -> int:
    """Write what has to change, wait and prove as asked."""
    from decklog.enable.watchdog import Watchdog  # noqa: PLC0415  # because: the same

    edit, path = report.edit, Path(asked.path)
    if asked.prove:
        from decklog.enable.trial import refuse_blind  # noqa: PLC0415  # because: the same

        refuse_blind(edit.edited, Path(asked.store) if asked.store else None)
    trial = _trial(pod, asked) if asked.wait or asked.prove else None
    record: Record | None = None
    watch = Watchdog(lambda: _put_back(files, path, edit.new)) if edit.changes and asked.wait else None
    with watch or nullcontext():
        if edit.changes:
            record = files.write(path, edit.old, edit.new, awaited=asked.wait)
            report.backup = str(files.backups.path_of(record))
        if trial is not None and asked.wait and not _serves(trial, files, record, pod, report, asked):
            if watch is not None:
                watch.decided()
            report.end("the old manifest is in place" if record else "it does not serve", written=False)
            return NOT_DONE
        if watch is not None:
            watch.decided()
    if trial is not None and asked.prove and not _proved(trial, report, asked):
        report.end(f"written; the old one is {report.backup}" if edit.changes else "", written=bool(edit.changes))
        return NOT_DONE
    report.end(
        f"written; the old one is {report.backup}" if edit.changes else "nothing has to change",
        written=bool(edit.changes),
    )
    return 0


def _put_back(files: Manifests, path: Path, new: bytes) -> str:
    """Undo for who was killed: only what he wrote."""
    if files.read(path) != new:
        return ""
    files.undo(path)
    return f"nobody saw the API server serve with the new manifest: the old one is back in {path}"


def _trial(pod: StaticPod, asked: Asked) -> Trial:
    from decklog.disk import Disk  # noqa: PLC0415  # because: the same
    from decklog.enable.trial import begin  # noqa: PLC0415  # because: the same

    return begin(
        pod,
        root=asked.root,
        disk=Disk(),
        environ=os.environ,
        kubeconfig=asked.kubeconfig,
        context=asked.context,
    )


def _serves(
    trial: Trial, files: Manifests, record: Record | None, pod: StaticPod, report: Report, asked: Asked
) -> bool:
    from decklog.cli.waiting import status_line  # noqa: PLC0415  # because: the same

    with status_line() as show:
        if record is None:
            waited = trial.wait(report.edit.edited, asked.timeout_s, show)
        else:
            undo: Callable[[], Any] = lambda: files.undo(record=record)  # noqa: E731  # because: it is an argument
            waited = trial.wait_or_undo(report.edit.edited, pod, undo, asked.timeout_s, show)
    report.waited(waited)
    if waited.ready:
        _settle(files, record, Path(asked.path))
    return waited.ready


def _settle(files: Manifests, record: Record | None, path: Path) -> None:
    from decklog.enable.writing import place_of  # noqa: PLC0415  # because: the same

    try:
        found = record or files.backups.of(place_of(path), files.read(path))
        if found is not None and found.awaited:
            files.backups.settle(found)
    except (OSError, DecklogError) as error:
        tell(f"that it serves could not be noted beside the backup: {error}")


def _proved(trial: Trial, report: Report, asked: Asked) -> bool:
    from decklog.cli.waiting import status_line  # noqa: PLC0415  # because: the same
    from decklog.enable.trial import Proved  # noqa: PLC0415  # because: the same

    store = Path(asked.store) if asked.store else None
    try:
        with status_line() as show:
            proved = trial.prove(report.edit.edited, asked.timeout_s, show, store)
    except DecklogError as error:
        if not report.backup:
            raise
        # Exit code 2 would say that the manifest is as it was.
        proved = Proved(found=False, text=f"the manifest is written, but not proved: {error}")
    report.proved(proved)
    return proved.found


def _undo(asked: Asked) -> int:
    from decklog.cli.enable_report import print_undone  # noqa: PLC0415  # because: the same
    from decklog.cli.waiting import status_line  # noqa: PLC0415  # because: the same
    from decklog.enable.manifest import StaticPod  # noqa: PLC0415  # because: the same

    if asked.prove:
        raise DecklogError("--prove finds the event of a new setting: leave it out with --undo")
    files = manifests(asked)
    undone = files.undo(Path(asked.path) if asked.path else None)
    waited = None
    if asked.wait:
        pod = StaticPod.read(undone.now, undone.record.manifest)
        with status_line() as show:
            waited = _trial(pod, asked).wait(pod, asked.timeout_s, show)
    print_undone(asked.output, undone, waited)
    return 0 if waited is None or waited.ready else NOT_DONE
