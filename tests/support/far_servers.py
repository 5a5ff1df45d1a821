"""Real servers to push to, as processes of their own: moto, OpenStack Swift's s3api, SSH."""

import os
import shutil
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from places import At
from small import flip


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def running(
    *command: object, port: int, log: Path, environ: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """A server that answers on its port, and its log."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            list(map(str, command)), stdout=out, stderr=out, env=os.environ | (environ or {})
        )
    try:
        begun = time.monotonic()
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, log.read_text()
            assert time.monotonic() - begun < 60, log.read_text()
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def s3_environ(port: int, key: str, secret: str) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def s3_client(environ: Mapping[str, str]) -> Any:
    import botocore.session

    session = botocore.session.Session()
    return session.create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=environ["AWS_ENDPOINT_URL"],
        aws_access_key_id=environ["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environ["AWS_SECRET_ACCESS_KEY"],
    )


def bucket(environ: Mapping[str, str], name: str) -> At:
    """A new bucket as a place."""
    client = s3_client(environ)
    client.create_bucket(Bucket=name)

    def spoil(key: str) -> None:
        body = bytearray(client.get_object(Bucket=name, Key=f"deep/{key}")["Body"].read())
        body[len(body) // 2] ^= 1
        client.put_object(Bucket=name, Key=f"deep/{key}", Body=bytes(body))

    return At(f"s3://{name}/deep", spoil, environ, inside=True)


@contextmanager
def moto(folder: Path, key: str, secret: str) -> Iterator[dict[str, str]]:
    """The environment of a moto server."""
    port = free_port()
    command = [Path(sys.executable).parent / "moto_server", "-H", "127.0.0.1", "-p", port]
    with running(*command, port=port, log=folder / "moto.log"):
        yield s3_environ(port, key, secret)


_LAUNCH = """
import runpy, sys
import swift.common.utils.config
import swift.common.utils as utils
for module in (utils, swift.common.utils.config):
    if hasattr(module, "SWIFT_CONF_FILE"):
        module.SWIFT_CONF_FILE = sys.argv[1]
program = sys.argv[2]
sys.argv = sys.argv[2:]
runpy.run_path(program, run_name="__main__")
"""
_BACK = """
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
"""
_PROXY = """
[pipeline:main]
pipeline = catch_errors proxy-logging cache s3api tempauth copy slo dlo proxy-logging proxy-server
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:proxy-logging]
use = egg:swift#proxy_logging
[filter:cache]
use = egg:swift#memcache
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
s3_acl = false
check_bucket_owner = false
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
"""


@contextmanager
def swift(folder: Path, bin_folder: Path) -> Iterator[dict[str, str]]:
    """The environment of a small OpenStack Swift: a proxy and three servers of one device."""
    import getpass

    ports = {name: free_port() for name in ("account", "container", "object", "proxy")}
    (folder / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = seal\n")
    (folder / "disks/d1").mkdir(parents=True)
    for name in ("account", "container", "object"):
        builder = [bin_folder / "swift-ring-builder", folder / f"{name}.builder"]
        where = f"--region 1 --zone 1 --ip 127.0.0.1 --port {ports[name]} --device d1 --weight 1"
        for words in (["create", "4", "1", "1"], ["add", *where.split()], ["rebalance"]):
            subprocess.run([*builder, *words], check=False, capture_output=True, cwd=folder)
    programs = {}
    for name, port in ports.items():
        lines = f"""
            [DEFAULT]
            bind_ip = 127.0.0.1
            bind_port = {port}
            swift_dir = {folder}
            devices = {folder}/disks
            mount_check = false
            disable_fallocate = true
            workers = 2
            user = {getpass.getuser()}
            log_address = /dev/null
            recon_cache_path = {folder}
        """
        text = textwrap.dedent(lines) + (_PROXY if name == "proxy" else _BACK.format(name=name))
        programs[name] = folder / f"{name}.conf"
        programs[name].write_text(text)
    launch = folder / "launch.py"
    launch.write_text(_LAUNCH)
    with ExitStack() as stack:
        for name, config in programs.items():
            command = [bin_folder / "python", launch, folder / "swift.conf"]
            command += [bin_folder / f"swift-{name}-server", config]
            log = folder / f"{name}.log"
            stack.enter_context(running(*command, port=ports[name], log=log))
        yield s3_environ(ports["proxy"], "test:tester", "testing")


_SSH = """
import asyncio, asyncssh, sys
port, key, allowed = sys.argv[1:]
async def main():
    server = await asyncssh.listen(
        "127.0.0.1", int(port), server_host_keys=[key], authorized_client_keys=allowed,
        sftp_factory=True,
    )
    await server.wait_closed()
asyncio.run(main())
"""


@contextmanager
def ssh(folder: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The port of an SSH server, and a home whose key it lets in."""
    import asyncssh

    port, home = free_port(), folder / "home"
    (home / ".ssh").mkdir(parents=True)
    host, own = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    host.write_private_key(folder / "host")
    own.write_private_key(home / ".ssh/id_ed25519")
    own.write_public_key(folder / "allowed")
    known = host.export_public_key().decode()
    (home / ".ssh/known_hosts").write_text(f"[127.0.0.1]:{port} {known}")
    command = [sys.executable, "-c", _SSH, port, folder / "host", folder / "allowed"]
    with running(*command, port=port, log=folder / "ssh.log"):
        yield port, {"HOME": str(home), "SSH_AUTH_SOCK": ""}


def behind_ssh(port: int, environ: Mapping[str, str], folder: Path) -> At:
    """A folder of a server as a place."""
    user = os.environ.get("USER") or "root"
    shutil.rmtree(folder, ignore_errors=True)
    url = f"sftp://{user}@127.0.0.1:{port}{folder}"
    return At(url, lambda name: flip(folder / name), environ, inside=True)
