"""The compose file is what Compose takes, and what it starts answers terminals: built from this source, with its database and
its object store beside it."""

from __future__ import annotations

import http.client
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from neurath.sim.processes import free_port
from tests.parts import ASSURANCE, need
from tests.rigs import engine
from tests.rigs.engine import Engine

ROOT = Path(__file__).resolve().parents[2]
FILE = "deploy/compose.yaml"
SECRETS = {"POSTGRES_PASSWORD": "of-the-database", "OBJECTS_KEY": "of-the-objects", "OBJECTS_SECRET": "of-their-store"}
TOKEN = "0" * 32


def config(**given: str) -> subprocess.CompletedProcess[str]:
    words = [need("docker-compose"), "-f", FILE, "config"]
    own = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"} | given
    return subprocess.run(words, capture_output=True, text=True, check=False, env=own, cwd=ROOT)


def test_compose_takes_the_file_and_wants_each_secret_by_name() -> None:
    done = config(**SECRETS)
    assert done.returncode == 0, done.stderr
    for word in SECRETS.values():
        assert word in done.stdout
    for missing in SECRETS:
        done = config(**{name: word for name, word in SECRETS.items() if name != missing})
        assert done.returncode != 0
        assert f"${{{missing}:?set it}}" in done.stderr, "it says which"


@pytest.fixture
def site() -> Iterator[Engine]:
    with tempfile.TemporaryDirectory(prefix="nrt-engine-") as folder, engine.running(Path(folder)) as made:
        yield made


def polled(port: int) -> int:
    """The status of a check-in; 0 where nobody answers."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        link.request("GET", "/DEFAULT/controller/v1/t1", headers={"Authorization": f"TargetToken {TOKEN}"})
        answer = link.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        link.close()
    return answer.status


if ASSURANCE:  # four images are made of packages: a quarter of an hour

    @pytest.mark.heavy
    @pytest.mark.network
    @pytest.mark.timeout(3600)
    def test_what_compose_starts_answers_a_terminal_and_keeps_what_it_was_told(site: Engine) -> None:
        port = free_port()
        given = SECRETS | {"PORT": str(port)}
        project = ["docker-compose", "-p", "neurath-test", "-f", str(ROOT / FILE)]
        site.bases()
        try:
            site.run(*project, "up", "-d", "--build", extra=given)  # returns when the database is healthy and the bucket there
            neurath = [*project, "exec", "-T", "neurath", "neurath"]
            site.run(*neurath, "model", "add", "--plain", "lab", extra=given)
            site.run(*neurath, "terminal", "add", "t1", "--model", "lab", "--token", TOKEN, extra=given)
            kept = "date > /data/notes && neurath image add /data/notes --model lab --version 1 --component notes"
            site.run(*project, "exec", "-T", "neurath", "sh", "-c", kept, extra=given)
            assert polled(port) == 200
            listing = "import boto3; print(boto3.client('s3', endpoint_url='http://127.0.0.1:9000', region_name='us-east-1', "
            listing += "aws_access_key_id='x', aws_secret_access_key='x').list_objects_v2(Bucket='neurath')['KeyCount'])"
            assert int(site.run(*project, "exec", "-T", "objects", "python", "-c", listing, extra=given)) >= 1
            site.run(*project, "restart", "neurath", "database", extra=given)
            deadline = time.monotonic() + 300
            while polled(port) != 200:
                assert time.monotonic() < deadline, "it does not come back"
                time.sleep(0.2)
            assert "lab/1" in site.run(*neurath, "image", "list", extra=given)
        finally:
            site.run(*project, "down", "-v", extra=given)
