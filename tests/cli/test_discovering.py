from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from decklog.cli.discovering import discover
from decklog.errors import DecklogError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OLD_SERVER: dict[str, Any] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {
        "kind": "APIGroupList",
        "groups": [
            {"name": "shop.example", "versions": [{"groupVersion": "shop.example/v1"}]},
            {"name": "metrics.k8s.io", "versions": [{"groupVersion": "metrics.k8s.io/v1beta1"}]},
        ],
    },
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": [{"name": "pods", "kind": "Pod"}]},
    "/apis/shop.example/v1": {
        "kind": "APIResourceList",
        "groupVersion": "shop.example/v1",
        "resources": [{"name": "carts", "kind": "Cart"}],
    },
}


@contextmanager
def server(answers: dict[str, Any]) -> Iterator[str]:
    """A server that answers 503 to what it does not know, as for an aggregated API that is down."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # because: the library's name
            answer = answers.get(self.path, 503)
            body = json.dumps(answer).encode()
            self.send_response(answer if isinstance(answer, int) else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # because: the library's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_address[1]}"
        listening.shutdown()
        thread.join()


def kubeconfig(folder: Path, url: str) -> str:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {}}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    return str(path)


def test_a_server_without_aggregated_discovery_is_asked_group_by_group(tmp_path: Path) -> None:
    """Each group's version is asked for its resources; one that does not answer is known to be there, no more."""
    with server(OLD_SERVER) as url:
        found = discover(kubeconfig(tmp_path, url))
    assert [(kind.group, kind.resource) for kind in found] == [
        ("", "pods"),
        ("shop.example", "carts"),
        ("metrics.k8s.io", ""),
    ]


def test_a_server_that_refuses_is_told(tmp_path: Path) -> None:
    """Who may not see what is served is told so, with the status."""
    with server({"/api": 403}) as url, pytest.raises(DecklogError, match="answers 403 to /api"):
        discover(kubeconfig(tmp_path, url))


def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    """An address that nobody listens on is told with the address."""
    with server({}) as url:
        path = kubeconfig(tmp_path, url)
    with pytest.raises(DecklogError, match=f"cannot ask {url}"):
        discover(path)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A path that cannot be read is told with the reason."""
    with pytest.raises(DecklogError, match="cannot be read: no such file"):
        discover(str(tmp_path / "nothing"))
