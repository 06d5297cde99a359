"""The proxies as processes: the gateway, nginx, HAProxy; and none at all, for the way without a proxy."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.gateway.ground import HOST, Ground, on_core

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

START_S = 20.0
STOP_S = 20.0


@dataclass(slots=True)
class Carrier:
    """One way to the upstream that can be measured."""

    name: str
    port: int
    tls: ssl.SSLContext | None
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def pid(self) -> int:
        """The process whose cost is measured. Raises ValueError where there is none."""
        if self.process is None:
            raise ValueError(f"{self.name} has no process")
        return self.process.pid

    def stop(self) -> None:
        """End the process, if there is one."""
        if self.process is None:
            return
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start_upstream(ground: Ground, core: int, *, tls: bool) -> Carrier:
    """Start the server behind the proxies; itself a carrier: the way without a proxy."""
    command = [sys.executable, "-m", "benchmarks.gateway.upstream", *([str(ground.folder)] if tls else [])]
    with on_core(core):
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    if process.stdout is None:
        raise RuntimeError("a pipe was asked for")
    return Carrier("direct", int(process.stdout.readline()), ground.client_context() if tls else None, process)


def missing(name: str) -> bool:
    """Tell whether this machine has no such proxy."""
    return name != "decklog" and shutil.which(name, path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin") is None


def start(name: str, ground: Ground, upstream: Carrier, core: int) -> Carrier:
    """Start a proxy on its core and wait until it takes connections. Raises RuntimeError when it does not."""
    port = _free_port()
    command = COMMANDS[name](ground, upstream, port)
    errors = ground.file(f"{name}-{port}.err")
    with on_core(core), errors.open("wb") as err, ground.file(f"{name}-{port}.out").open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
    carrier = Carrier(name, port, upstream.tls, process)
    deadline = time.monotonic() + START_S
    while not _listens(port):
        if process.poll() is not None or time.monotonic() > deadline:
            carrier.stop()
            raise RuntimeError(f"{name} does not listen: {errors.read_text()[-2000:]}\ncommand: {' '.join(command)}")
        time.sleep(0.02)
    return carrier


def _decklog(ground: Ground, upstream: Carrier, port: int) -> list[str]:
    tls = [
        *("--tls-cert-file", str(ground.file("server.crt")), "--tls-private-key-file", str(ground.file("server.key"))),
        *("--client-ca-file", str(ground.file("ca.crt"))),
    ]
    return [
        *(sys.executable, "-m", "decklog", "gateway", "--workers", "1", "--listen", f"{HOST}:{port}"),
        *("--kubeconfig", str(ground.write_kubeconfig(upstream.port, tls=upstream.tls is not None))),
        *("--audit-policy-file", str(ground.write_policy())),
        *("--audit-log-path", str(ground.file(f"audit-{port}.log")), "--audit-log-maxbackup", "1"),
        *(tls if upstream.tls else ("--insecure",)),
    ]


def _nginx(ground: Ground, upstream: Carrier, port: int) -> list[str]:
    tls, scheme, listen = "", "http", f"{HOST}:{port}"
    if upstream.tls:
        scheme, listen = "https", f"{listen} ssl"
        file = ground.file
        tls = f"""
  ssl_certificate {file("server.crt")}; ssl_certificate_key {file("server.key")};
  ssl_client_certificate {file("ca.crt")}; ssl_verify_client optional;
  proxy_ssl_certificate {file("own.crt")}; proxy_ssl_certificate_key {file("own.key")};
  proxy_ssl_trusted_certificate {file("ca.crt")}; proxy_ssl_verify on; proxy_ssl_name {HOST};"""
    temporary = " ".join(
        f"{kind}_temp_path {ground.folder}/nginx-{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = ground.file(f"nginx-{port}.conf")
    config.write_text(f"""
worker_processes 1; daemon off; master_process off; worker_rlimit_nofile 20000; error_log stderr;
pid {ground.folder}/nginx-{port}.pid;
events {{ worker_connections 16000; }}
http {{
  access_log {ground.folder}/nginx-{port}.log; {temporary}
  keepalive_requests 100000000;
  upstream up {{ server {HOST}:{upstream.port}; keepalive 64; keepalive_requests 100000000; }}
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_read_timeout 600s;{tls}
  server {{
    listen {listen} backlog=4096;
    location / {{ proxy_pass {scheme}://up; }}
    location = /api/v1/configmaps {{ proxy_buffering off; proxy_pass {scheme}://up; }}
    location /api/v1/namespaces/chunks/ {{ proxy_buffering off; proxy_pass {scheme}://up; }}
    location /api/v1/namespaces/big/ {{ proxy_buffering off; proxy_pass {scheme}://up; }}
  }}
}}
""")
    return ["/usr/sbin/nginx", "-e", "stderr", "-c", str(config)]


def _haproxy(ground: Ground, upstream: Carrier, port: int) -> list[str]:
    bind = server = ""
    if upstream.tls:
        file = ground.file
        bind = f"ssl crt {file('server.pem')} ca-file {file('ca.crt')} verify optional alpn http/1.1"
        server = f"ssl crt {file('own.pem')} ca-file {file('ca.crt')} verify required"
    config = ground.file(f"haproxy-{port}.cfg")
    config.write_text(f"""
global
  nbthread 1
  maxconn 9000
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  http-reuse always
  timeout connect 5s
  timeout client 600s
  timeout server 600s
frontend f
  bind {HOST}:{port} {bind}
  default_backend b
backend b
  server up {HOST}:{upstream.port} {server}
""")
    return [shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin") or "haproxy", "-db", "-f", str(config)]


COMMANDS: dict[str, Callable[[Ground, Carrier, int], list[str]]] = {
    "decklog": _decklog,
    "nginx": _nginx,
    "haproxy": _haproxy,
}
"""The proxies by name."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0
