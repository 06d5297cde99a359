from __future__ import annotations

import base64
import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from decklog import certificates
from decklog.errors import DecklogError
from decklog.kubeconfig import ClusterAccess, Context, ExecPlugin, contexts, load, named_files

SERVER = "https://audit.example:8443/events"


def kubeconfig(
    directory: Path, cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None, **more: Any
) -> Path:
    """Write a kubeconfig of one context beside the files that it may name."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "audit",
        "contexts": [{"name": "audit", "context": {"cluster": "receiver", "user": "shipper"}}],
        "clusters": [{"name": "receiver", "cluster": {"server": SERVER, **(cluster or {})}}],
        "users": [{"name": "shipper", "user": user or {}}],
        **more,
    }
    (directory / "ca.crt").write_bytes(b"CA")
    (directory / "empty").touch()
    (directory / "tls.crt").write_bytes(b"CERTIFICATE")
    (directory / "tls.key").write_bytes(b"KEY")
    (directory / "token").write_text("from-file\n")
    path = directory / "webhook.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("name", "cluster", "user", "access"),
    [
        ("a server alone", {}, {}, ClusterAccess(SERVER)),
        ("a server without a scheme", {"server": "10.0.0.1:80"}, {}, ClusterAccess("http://10.0.0.1:80")),
        ("a scheme in capitals", {"server": "HTTPS://H/audit"}, {}, ClusterAccess("https://H/audit")),
        ("a CA beside the file", {"certificate-authority": "ca.crt"}, {}, ClusterAccess(SERVER, b"CA")),
        (
            "a CA in the file wins over one beside it",
            {"certificate-authority": "nowhere", "certificate-authority-data": encoded("INLINE")},
            {},
            ClusterAccess(SERVER, b"INLINE"),
        ),
        ("a CA in lines", {"certificate-authority-data": "Q0E\n=\n"}, {}, ClusterAccess(SERVER, b"CA")),
        (
            "no verification",
            {"insecure-skip-tls-verify": True},
            {},
            ClusterAccess(SERVER, insecure_skip_tls_verify=True),
        ),
        ("a name to verify", {"tls-server-name": "a"}, {}, ClusterAccess(SERVER, tls_server_name="a")),
        ("a token", {}, {"token": "secret"}, ClusterAccess(SERVER, token="secret")),
        ("a password", {}, {"username": "u", "password": "p"}, ClusterAccess(SERVER, username="u", password="p")),
        (
            "a client certificate",
            {},
            {"client-certificate": "tls.crt", "client-key": "tls.key"},
            ClusterAccess(SERVER, client_certificate_pem=b"CERTIFICATE", client_key_pem=b"KEY"),
        ),
        (
            "a client certificate in the file",
            {},
            {"client-certificate-data": encoded("C"), "client-key-data": encoded("K")},
            ClusterAccess(SERVER, client_certificate_pem=b"C", client_key_pem=b"K"),
        ),
        ("unknown keys are ignored", {"future": 1}, {"future": {}}, ClusterAccess(SERVER)),
    ],
)
def test_the_current_context_says_where_and_as_whom(
    tmp_path: Path, name: str, cluster: dict[str, Any], user: dict[str, Any], access: ClusterAccess
) -> None:
    """Each key of a cluster and of a user; paths are relative to the file."""
    assert load(kubeconfig(tmp_path, cluster, user)) == access, name


def test_a_token_file_is_named_not_read(tmp_path: Path) -> None:
    """It is read when it is needed, because it changes."""
    assert load(kubeconfig(tmp_path, user={"tokenFile": "token"})).token_file == str(tmp_path / "token")


@pytest.mark.parametrize(
    ("name", "cluster", "user", "more", "text"),
    [
        ("no server", {"server": ""}, {}, {}, "invalid configuration: default cluster has no server defined"),
        ("no context", {}, {}, {"contexts": []}, "current-context 'audit' is not among the contexts"),
        (
            "clusters that are no list",
            {},
            {},
            {"clusters": {"a": 1}},
            "clusters is a list of names with a cluster each",
        ),
        ("a proxy", {"proxy-url": "http://p"}, {}, {}, "proxy-url is not supported: "),
        ("a plugin", {}, {"exec": {"command": "aws"}}, {}, "exec is not supported here: use a token"),
        ("a provider", {}, {"auth-provider": {"name": "gcp"}}, {}, "auth-provider is not supported here: "),
        ("a CA that is not there", {"certificate-authority": "no.crt"}, {}, {}, "certificate-authority: cannot read "),
        ("no base64", {"certificate-authority-data": "%%"}, {}, {}, "certificate-authority-data is not base64"),
        ("no ASCII", {"certificate-authority-data": "\x80"}, {}, {}, "certificate-authority-data is not base64"),
        ("a path that no disk has", {"certificate-authority": "a\0"}, {}, {}, "certificate-authority: cannot read "),
        ("a token file that is not there", {}, {"tokenFile": "no"}, {}, "tokenFile: "),
        ("an empty CA", {"certificate-authority": "empty"}, {}, {}, "certificate-authority: "),
        (
            "a CA that would not be asked",
            {"certificate-authority": "ca.crt", "insecure-skip-tls-verify": True},
            {},
            {},
            "certificate-authority and insecure-skip-tls-verify exclude each other: remove one",
        ),
        ("a password in the address", {"server": "https://u:p4ss@h/"}, {}, {}, "server holds a name or password: "),
        ("another scheme", {"server": "ftp://h/"}, {}, {}, "server is no address: write https://HOST:PORT/PATH"),
        ("no host", {"server": "https:///audit"}, {}, {}, "server is no address: "),
        ("no port", {"server": "https://h:99999"}, {}, {}, "server is no address: "),
    ],
)
def test_what_cannot_be_used_is_named(
    tmp_path: Path, name: str, cluster: dict[str, Any], user: dict[str, Any], more: dict[str, Any], text: str
) -> None:
    """The error begins with the file and names the key."""
    path = kubeconfig(tmp_path, cluster, user, **more)
    with pytest.raises(DecklogError) as error:
        load(path)
    assert str(error.value).startswith(f"{path}: {text}"), name
    assert "p4ss" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", ": invalid configuration: no configuration has been provided"),
        ("a: [", ":1:5: not YAML: "),
        ("- a", ": a kubeconfig is a mapping with clusters, users and contexts"),
        ("{}", ": invalid configuration: default cluster has no server defined"),
    ],
)
def test_a_file_that_is_no_kubeconfig(tmp_path: Path, content: str, text: str) -> None:
    """It is said what the file is not, with the place where it breaks."""
    path = tmp_path / "webhook.yaml"
    path.write_text(content)
    with pytest.raises(DecklogError) as error:
        load(path)
    assert str(error.value).startswith(f"{path}{text}")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The error says what to do."""
    with pytest.raises(DecklogError, match=r"cannot read the kubeconfig .*: No such file or directory: give another"):
        load(tmp_path / "no.yaml")


def test_secrets_are_not_in_its_text() -> None:
    """A log of the access shows nobody how to use it."""
    access = ClusterAccess(SERVER, client_key_pem=b"KEY", token="TOKEN", username="u", password="PASSWORD")
    assert not any(secret in repr(access) for secret in ("KEY", "TOKEN", "PASSWORD"))


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    """It is not read to its end."""
    path = tmp_path / "webhook.yaml"
    path.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(DecklogError, match="is larger than 1048576 bytes: is it a kubeconfig"):
        load(path)


DAY = timedelta(days=1)
AUTHORITY = certificates.authority("test", clock=lambda: datetime.now(UTC), lifetime=DAY)
CLIENT = certificates.client_certificate(AUTHORITY, "sender", (), clock=lambda: datetime.now(UTC), lifetime=DAY)


@pytest.mark.parametrize(
    ("name", "ca", "certificate", "key"),
    [
        ("a CA that is none", b"no certificate", b"", b""),
        ("a CA without a letter of ASCII, which must not mean the system's", "\u0410".encode(), b"", b""),
        ("a certificate without its key", b"", CLIENT.certificate_pem, b""),
        ("a key that is another's", b"", CLIENT.certificate_pem, AUTHORITY.key_pem),
        (
            "a key under a password, which nobody is asked for",
            b"",
            CLIENT.certificate_pem,
            serialization.load_pem_private_key(CLIENT.key_pem, None).private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"password"),
            ),
        ),
    ],
)
def test_certificates_that_cannot_be_used(name: str, ca: bytes, certificate: bytes, key: bytes) -> None:
    """The error names the server, not OpenSSL's source lines alone."""
    access = ClusterAccess(SERVER, ca, client_certificate_pem=certificate, client_key_pem=key)
    with pytest.raises(DecklogError, match="the certificates of the kubeconfig for https://"):
        access.ssl_context()


def test_what_go_trusts_is_trusted() -> None:
    """Words beside a CA do not matter, nor the identifiers that Python asks for from 3.13 on."""
    access = ClusterAccess(SERVER, "Größte CA\n".encode() + AUTHORITY.certificate_pem)
    context = access.ssl_context()
    assert len(context.get_ca_certs()) == 1
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT


def test_no_disk_sees_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client certificate is loaded where nothing can be written."""
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    access = ClusterAccess(
        SERVER, client_certificate_pem=CLIENT.certificate_pem.rstrip(), client_key_pem=CLIENT.key_pem
    )
    assert access.ssl_context().verify_mode is ssl.CERT_REQUIRED


V1 = "client.authentication.k8s.io/v1"
V1BETA1 = "client.authentication.k8s.io/v1beta1"


@pytest.mark.parametrize(
    ("name", "entry", "plugin"),
    [
        ("a name", {"apiVersion": V1BETA1, "command": "aws"}, ExecPlugin(V1BETA1, "aws")),
        ("v1 says its mode", {"apiVersion": V1, "command": "a", "interactiveMode": "Never"}, ExecPlugin(V1, "a")),
        (
            "a terminal if there is one",
            {"apiVersion": V1, "command": "/bin/a", "interactiveMode": "IfAvailable"},
            ExecPlugin(V1, "/bin/a"),
        ),
        (
            "all the rest",
            {
                "apiVersion": V1BETA1,
                "command": "a",
                "args": ["get", 1],
                "env": [{"name": "REGION", "value": "eu"}, {"name": "EMPTY"}],
                "installHint": "install it",
                "provideClusterInfo": True,
            },
            ExecPlugin(
                V1BETA1, "a", ("get", "1"), (("REGION", "eu"), ("EMPTY", "")), "install it", provide_cluster_info=True
            ),
        ),
        ("no list of its own", {"apiVersion": V1BETA1, "command": "a", "args": None}, ExecPlugin(V1BETA1, "a")),
    ],
)
def test_an_exec_plugin_is_read_where_it_is_allowed(
    tmp_path: Path, name: str, entry: dict[str, Any], plugin: ExecPlugin
) -> None:
    """Both versions of its protocol, and each key."""
    path = kubeconfig(tmp_path, user={"exec": entry})
    assert load(path, allow_exec=True).plugin == plugin, name
    with pytest.raises(DecklogError, match="exec is not supported here"):
        load(path)


def test_a_plugin_with_a_relative_path_is_beside_the_file(tmp_path: Path) -> None:
    """As certificates are; a bare name is looked up in PATH."""
    for command in ("bin/plugin", "./plugin"):
        path = kubeconfig(tmp_path, user={"exec": {"apiVersion": V1BETA1, "command": command}})
        for named in (path, os.path.relpath(path)):
            plugin = load(named, allow_exec=True).plugin
            assert plugin is not None
            assert Path(plugin.command).is_absolute()
            assert os.path.realpath(plugin.command) == os.path.realpath(tmp_path / command)


def test_a_cluster_keeps_configuration_for_a_plugin(tmp_path: Path) -> None:
    """In the extension that bears the protocol's name; others are not for it."""
    extensions = [
        {"name": "other", "extension": {"a": 1}},
        {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}},
    ]
    user = {"exec": {"apiVersion": V1BETA1, "command": "a", "provideClusterInfo": True}}
    plugin = load(kubeconfig(tmp_path, {"extensions": extensions}, user), allow_exec=True).plugin
    assert plugin is not None
    assert plugin.cluster_config == '{"audience": "x"}'


@pytest.mark.parametrize(
    ("name", "entry", "text"),
    [
        ("no command", {"apiVersion": V1}, "exec: names no command"),
        ("no mapping", ["aws"], "exec: names no command"),
        (
            "a version that is gone",
            {"apiVersion": "client.authentication.k8s.io/v1alpha1", "command": "a"},
            "exec: apiVersion 'client.authentication.k8s.io/v1alpha1' is not supported: use client.auth",
        ),
        ("no version", {"command": "a"}, "exec: apiVersion '' is not supported"),
        ("v1 without a mode", {"apiVersion": V1, "command": "a"}, "exec: interactiveMode '' is none of Never"),
        ("another mode", {"apiVersion": V1BETA1, "command": "a", "interactiveMode": "x"}, "exec: interactiveMode 'x'"),
        (
            "a terminal",
            {"apiVersion": V1BETA1, "command": "a", "interactiveMode": "Always"},
            "exec: interactiveMode Always needs a terminal",
        ),
        ("arguments in one", {"apiVersion": V1BETA1, "command": "a", "args": "get"}, "exec: args is a list"),
        ("an environment", {"apiVersion": V1BETA1, "command": "a", "env": {"A": "b"}}, "exec: env is a list of entr"),
        ("a nameless variable", {"apiVersion": V1BETA1, "command": "a", "env": [{"value": "b"}]}, "exec: env is a"),
    ],
)
def test_an_exec_plugin_that_cannot_be_run_is_named(tmp_path: Path, name: str, entry: Any, text: str) -> None:
    """Before anything is run."""
    path = kubeconfig(tmp_path, user={"exec": entry})
    with pytest.raises(DecklogError) as error:
        load(path, allow_exec=True)
    assert str(error.value).startswith(f"{path}: {text}"), name


def several(directory: Path) -> Path:
    """Write a kubeconfig of two clusters and four contexts."""
    return kubeconfig(
        directory,
        contexts=[
            {"name": "audit", "context": {"cluster": "receiver", "user": "shipper"}},
            {"name": "other", "context": {"cluster": "other", "user": "alice"}},
            {"name": "alice", "context": {"cluster": "receiver", "user": "alice", "namespace": "shop"}},
            {"name": "bob", "context": {"cluster": "receiver", "user": "bob"}},
        ],
        clusters=[
            {"name": "receiver", "cluster": {"server": SERVER}},
            {"name": "other", "cluster": {"server": "https://other"}},
        ],
        users=[{"name": "alice", "user": {"token": "hers"}}, {"name": "shipper", "user": {"as": "root"}}],
    )


def test_a_context_can_be_chosen(tmp_path: Path) -> None:
    """By its name; one that is not there is answered with those that are."""
    path = several(tmp_path)
    assert load(path, "other") == ClusterAccess("https://other", token="hers")
    with pytest.raises(DecklogError, match=r"context 'x' is not among the contexts: give one of: audit, other, alice"):
        load(path, "x")


def test_the_contexts_of_one_cluster(tmp_path: Path) -> None:
    """The chosen one stands first; those of other clusters are left out."""
    alice, audit = Context("alice", "receiver", "alice", "shop"), Context("audit", "receiver", "shipper")
    assert contexts(several(tmp_path)) == (audit, alice, Context("bob", "receiver", "bob"))
    assert contexts(several(tmp_path), "alice") == (alice, audit, Context("bob", "receiver", "bob"))


def test_whom_a_user_impersonates_is_told(tmp_path: Path) -> None:
    """The caller decides what it makes of it."""
    assert load(several(tmp_path)).impersonated == "root"


def test_the_files_that_were_read_are_told(tmp_path: Path) -> None:
    """The kubeconfig and the certificates beside it, not those written into it; not the token's."""
    path = kubeconfig(
        tmp_path,
        {"certificate-authority": "ca.crt", "certificate-authority-data": encoded("CA")},
        {"client-certificate": "tls.crt", "client-key": "tls.key", "tokenFile": "token"},
    )
    assert load(path).files == tuple(str(tmp_path / name) for name in ("webhook.yaml", "tls.crt", "tls.key"))


def test_the_files_that_it_names_for_somebody_else_are_not_looked_at(tmp_path: Path) -> None:
    """Those of the current context, as they are seen where it is read: data beside a name is no file."""
    path = kubeconfig(
        tmp_path,
        {"certificate-authority": "pki/gone.crt", "proxy-url": "http://p"},
        {"client-certificate": "/pki/c.crt", "client-key": "../c.key", "tokenFile": "t", "exec": {"command": "x"}},
        clusters=[
            {"name": "receiver", "cluster": {"server": SERVER, "certificate-authority": "pki/gone.crt"}},
            {"name": "another", "cluster": {"server": SERVER, "certificate-authority": "another.crt"}},
        ],
    )
    named = ("/etc/k/pki/gone.crt", "/pki/c.crt", "/etc/c.key", "/etc/k/t")
    assert named_files(path, "/etc/k/webhook.yaml") == named
    inline = kubeconfig(tmp_path, {"certificate-authority": "x", "certificate-authority-data": encoded("CA")})
    assert named_files(inline, "/etc/k/webhook.yaml") == ()
    with pytest.raises(OSError, match="nowhere"):
        named_files(tmp_path / "nowhere", "/etc/k/webhook.yaml")
    with pytest.raises(DecklogError, match=r"/etc/k/webhook\.yaml.*no server"):
        named_files(kubeconfig(tmp_path, clusters=[]), "/etc/k/webhook.yaml")


def test_a_context_may_leave_the_certificate_out() -> None:
    """For connections that carry another's credentials."""
    access = ClusterAccess(SERVER, client_certificate_pem=b"no certificate", client_key_pem=b"no key")
    assert access.ssl_context(own_certificate=False).verify_mode is ssl.CERT_REQUIRED


LEAF = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates() | st.binary(max_size=8)
)
ANYTHING = st.recursive(LEAF, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(LEAF, inner, max_size=2))


def some(*keys: str, **fixed: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Make mappings of these keys, or not, with anything in them."""
    return st.fixed_dictionaries(
        {key: st.just(value) if isinstance(value, str) else value for key, value in fixed.items()},
        optional=dict.fromkeys(keys, ANYTHING),
    )


PLUGIN_KEYS = ("apiVersion", "command", "args", "env", "interactiveMode", "provideClusterInfo", "installHint")
EXTENSION = st.fixed_dictionaries({"name": st.just("client.authentication.k8s.io/exec"), "extension": ANYTHING})
CLUSTER = some(
    *("certificate-authority", "certificate-authority-data", "insecure-skip-tls-verify", "proxy-url"),
    server=st.just(SERVER) | ANYTHING,
    extensions=st.lists(EXTENSION, max_size=1),
)
USER = some(
    *("client-certificate", "client-certificate-data", "client-key", "token", "tokenFile", "username", "as"),
    exec=some(*PLUGIN_KEYS) | some("args", "env", apiVersion=V1BETA1, command="a") | ANYTHING,
)


@given(CLUSTER, USER, some("contexts", "clusters", "users", "current-context") | st.just({}))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_in_a_kubeconfig(
    tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any], more: dict[str, Any]
) -> None:
    """It is read, or refused by name; nothing else happens."""
    try:
        path = kubeconfig(tmp_path, cluster, user, **more)
    except (yaml.YAMLError, UnicodeEncodeError, TypeError):  # what YAML cannot say
        return
    for allow_exec in (False, True):
        try:
            load(path, allow_exec=allow_exec)
            contexts(path)
        except DecklogError as error:
            assert str(error).startswith(str(path))  # noqa: PT017  # because: either way is right
