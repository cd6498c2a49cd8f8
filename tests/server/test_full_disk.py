"""A server whose file system is really full (fault 23): uploads are refused, terminals' polls and transfers go on, and with
room again everything does, nothing lost."""

from __future__ import annotations

import pytest

from neurath.errors import NeurathError
from neurath.server.fleet import access
from neurath.wire.report import Phase, Report
from tests.rigs.disk import disk
from tests.server.test_http import serving
from tests.server.world import image

pytestmark = pytest.mark.heavy


@pytest.mark.parametrize("left", [0, 4096, 16384], ids=lambda left: f"{left} bytes left")
def test_a_full_disk_refuses_uploads_and_reports_and_lets_polls_and_transfers_go_on(tmp_path, left):
    with disk(tmp_path / "disk", 24 << 20) as full, serving(tmp_path / "disk" / "data") as running:
        old, new = image(1), image(2)
        running.world.release("1", old, 1)
        release = running.world.release("2", new, 2)
        client = running.enrol("t1")
        running.world.start(release)
        client.checks_in(running.world.says(old))
        link = client.link("deploymentBase")
        assert link
        action = link.rsplit("/", 1)[1]
        deployment = client.ask("GET", link).json
        artifact = deployment["deployment"]["chunks"][0]["artifacts"][0]
        assert client.reports(Report(action, Phase.DOWNLOADING, total=artifact["size"], secured=1 << 20)) == 200

        full.fill(left)
        for _ in range(20):
            assert client.ask("GET", "").status == 200
        href = "/" + artifact["_links"]["download-http"]["href"].split("/", 3)[3]
        served = client.ask("GET", href)
        assert (served.status, len(served.body)) == (200, artifact["size"])
        statuses = {client.reports(Report(action, Phase.DOWNLOADING, done=n, total=9000)) for n in range(1, 4000, 400)}
        assert statuses <= {200, 503}
        with pytest.raises((NeurathError, OSError)) as caught:
            running.world.release("9", image(9, 60_000), 9)
        assert "full" in str(caught.value) or "No space" in str(caught.value)
        known = {path for path in (full.folder / "data").rglob("*") if path.is_file()}
        assert not [path for path in known if path.suffix in (".part", ".tmp")]

        full.clear()
        assert client.ask("GET", "").status == 200
        assert client.reports(Report(action, Phase.DOWNLOADED, done=artifact["size"], total=artifact["size"])) == 200
        with running.world.store.read() as db:
            terminal = access.find(db, "t1")
        entry = running.world.entry(terminal, release)
        assert entry is not None
        assert entry.phase == "downloaded"
        assert running.world.release("9", image(9, 60_000), 9).size == 60_000
