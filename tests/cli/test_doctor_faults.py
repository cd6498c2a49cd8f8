"""Twelve faults, each planted for real; the doctor finds each, names the cure, and changes nothing."""

from __future__ import annotations

import contextlib
import io
import json
import os
import queue
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from neurath.cli.main import main
from neurath.flash.geometry import Model, model_to_toml, simple_layout
from neurath.ids import ModelName
from neurath.sim.processes import Running, Said, free_port
from neurath.wire import keys
from tests.parts import need
from tests.rigs.clock import shifted
from tests.rigs.disk import disk

#: A process that is root in name only: rights of files count for it as for anybody.
ANYBODY = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]
Findings = dict[str, dict[str, object]]


def doctor(*words: str | Path, before: tuple[str, ...] = (), env: dict[str, str] | None = None) -> Findings:
    """What it found; its exit code says whether there was a fault. In a process of its own where that has to be another."""
    if before or env:
        command = [*before, sys.executable, "-m", "neurath.cli.main", "doctor", "--json", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=env, check=False)
        code, said = done.returncode, done.stdout
    else:
        with contextlib.redirect_stdout(io.StringIO()) as heard:
            code = main(["doctor", "--json", *map(str, words)])
        said = heard.getvalue()
    found = {str(one["name"]): one for one in map(json.loads, said.splitlines())}
    assert code == int(any(one["state"] == "fault" for one in found.values()))
    return found


def fault(found: Findings, name: str) -> str:
    """Text and cure of the fault that has to be there."""
    assert found[name]["state"] == "fault", found[name]
    assert found[name]["cure"]
    return f"{found[name]['text']} | {found[name]['cure']}"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory without a fault: a model with its key, a signed release, the server's ticket key."""
    folder = tmp_path_factory.mktemp("doctor")
    (folder / "phone.toml").write_text(model_to_toml(Model(ModelName("phone"), simple_layout(65536), ram=65536)))
    (folder / "app.bin").write_bytes(bytes(range(256)) * 64)
    place = ["--data", str(folder / "data")]
    for words in (
        f"key create release -o {folder}/keys",
        f"sign {folder}/app.bin --model {folder}/phone.toml --version 1 --sequence 1 --key {folder}/keys/release.pem "
        f"-o {folder}/app.env",
    ):
        assert main(words.split()) == 0
    assert main(["model", "add", f"{folder}/phone.toml", "--release-key", f"{folder}/keys/release.pub.pem", *place]) == 0
    app = ["image", "add", f"{folder}/app.bin", "--model", "phone", "--version", "1"]
    assert main([*app, "--envelope", f"{folder}/app.env", *place]) == 0
    from neurath.server.delivery.tickets import load_key

    load_key(folder / "data")
    return folder / "data"


@pytest.fixture
def data(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "data"))


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Path]:
    """A serial port."""
    master, slave = os.openpty()
    (tmp_path / "tty").symlink_to(os.ttyname(slave))
    os.close(slave)
    yield tmp_path / "tty"
    os.close(master)


def test_where_nothing_is_wrong_no_fault_is_found_and_nothing_changes(data: Path, line: Path) -> None:
    before = held(data)
    found = doctor("--data", data, "--port", str(free_port()), "--serial", line)
    assert [one for one in found.values() if one["state"] == "fault"] == []
    assert {"database", "migration", "disk", "ticket key", "release keys", "unsigned releases"} <= found.keys()
    assert held(data) == before


def held(data: Path) -> dict[str, object]:
    """Every file's bytes; of the database its rows, for a look may fold its journal in."""
    found: dict[str, object] = {p.name: p.read_bytes() for p in data.rglob("*") if p.is_file() and "neurath.db" not in p.name}
    base = sqlite3.connect(data / "neurath.db")
    found["rows"] = list(base.iterdump())
    base.close()
    return found


def test_a_port_whose_rights_keep_its_user_out(line: Path) -> None:
    need("root")
    device = os.path.realpath(line)
    os.chown(device, 1, 20)  # dialout, as Debian has it
    os.chmod(device, 0o660)
    said = fault(doctor("--serial", line, before=tuple(ANYBODY)), f"serial {line}")
    assert "usermod -aG dialout" in said


@pytest.mark.parametrize(("name", "cure"), [("ModemManager", "systemctl stop ModemManager"), ("brltty", "apt remove brltty")])
def test_a_serial_port_that_another_program_has_open(line: Path, tmp_path: Path, name: str, cure: str) -> None:
    program = shutil.copy(shutil.which("sleep") or "", tmp_path / name)
    with line.open("rb") as port, subprocess.Popen([program, "600"], stdin=port) as taker:
        try:
            said = fault(doctor("--serial", line), f"serial {line}")
        finally:
            taker.kill()
    assert f"{name} (process {taker.pid})" in said
    assert cure in said


def test_an_adapter_that_is_unplugged_or_was_taken_away(tmp_path: Path) -> None:
    """Another test may run a brltty of its own at this moment: what is said first holds with it and without."""
    gone = tmp_path / "gone"
    assert "plug it in" in fault(doctor("--serial", gone), f"serial {gone}")
    program = shutil.copy(shutil.which("sleep") or "", tmp_path / "brltty")
    with subprocess.Popen([program, "600"]) as taker:
        try:
            said = fault(doctor("--serial", gone), f"serial {gone}")
        finally:
            taker.kill()
    assert "plug it in" in said
    assert "apt remove brltty" in said


def test_a_busy_port_names_who_has_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        said = fault(doctor("--port", str(port)), f"port {port}")
    assert f"(process {os.getpid()})" in said
    assert "neurath serve --port" in said


def test_a_clock_before_its_time(tmp_path: Path) -> None:
    env = shifted(tmp_path, 1_600_000_000 - time.time())
    assert "timedatectl" in fault(doctor(env=env), "clock")


def test_two_clocks_that_differ_and_a_port_that_is_closed(tmp_path: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "0"], stdout=subprocess.PIPE, text=True,
        cwd=tmp_path, env=shifted(tmp_path, 3600) | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{server.stdout.readline().split(' port ')[1].split()[0]}"
        found = doctor("--server", url)
    finally:
        server.kill()
        server.wait()
    assert found["server"]["state"] == "ok"
    assert "ahead of" in fault(found, "clocks")
    said = fault(doctor("--server", f"http://127.0.0.1:{free_port()}"), "server")
    assert "refused" in said
    assert "firewall" in said


def test_a_full_disk(whole: Path, tmp_path: Path) -> None:
    with disk(tmp_path / "small", 16 << 20) as full:
        place = Path(shutil.copytree(whole, full.folder / "data"))
        assert doctor("--data", place)["disk"]["state"] == "ok"
        full.fill(4096)
        assert "remove" in fault(doctor("--data", place), "disk")


def test_a_missing_key(data: Path) -> None:
    (data / "ticket.pem").unlink()
    assert "backup" in fault(doctor("--data", data), "ticket key")
    base = sqlite3.connect(data / "neurath.db")
    base.execute("DELETE FROM release_key")
    base.commit()
    base.close()
    assert "model add" in fault(doctor("--data", data), "release keys")


def test_a_ticket_key_that_terminals_were_not_given(data: Path) -> None:
    (data / "ticket.pem").unlink()
    keys.write_private(data / "ticket.pem", keys.create(keys.Alg.ES256))
    assert "refuse every ticket" in fault(doctor("--data", data), "ticket key")


def test_a_dead_database(data: Path) -> None:
    away = f"postgresql://nobody@127.0.0.1:{free_port()}/neurath"
    assert "is the server up" in fault(doctor("--data", data, "--database", away), "database")
    (data / "neurath.db-wal").unlink(missing_ok=True)
    (data / "neurath.db").write_bytes(b"no database at all, only words" * 400)
    assert fault(doctor("--data", data), "database")


@pytest.mark.parametrize(("stands", "cure"), [("0001", "restart the server"), ("9999", "newer program")])
def test_a_stale_migration_is_said_and_not_mended(data: Path, stands: str, cure: str) -> None:
    base = sqlite3.connect(data / "neurath.db")
    base.execute("UPDATE alembic_version SET version_num = ?", (stands,))
    base.commit()
    assert cure in fault(doctor("--data", data), "migration")
    assert base.execute("SELECT version_num FROM alembic_version").fetchall() == [(stands,)]
    base.close()


def test_letters_that_no_font_has(tmp_path: Path) -> None:
    need("fc-list")
    (tmp_path / "fonts.conf").write_text(f"<fontconfig><dir>{tmp_path}</dir><cachedir>{tmp_path}</cachedir></fontconfig>")
    env = os.environ | {"FONTCONFIG_FILE": str(tmp_path / "fonts.conf")}
    assert "fonts-noto-cjk" in fault(doctor(env=env), "fonts")


def test_two_servers_on_one_store_but_not_two_workers_of_one(data: Path, tmp_path: Path) -> None:
    heard: queue.Queue[Said] = queue.Queue()
    first = Running("first", ["serve", "--data", data, "--port", "0", "--workers", "2", "--json"], tmp_path / "log1", heard)
    second = None
    try:
        heard.get(timeout=120)
        assert doctor("--data", data)["one server a store"]["state"] == "ok"
        second = Running("second", ["serve", "--data", data, "--port", "0", "--json"], tmp_path / "log2", heard)
        while heard.get(timeout=120).who != "second":
            pass
        said = fault(doctor("--data", data), "one server a store")
    finally:
        first.end(60)
        if second is not None:
            second.end(60)
    assert "2 servers" in said
    assert "--workers" in said


def test_an_unsigned_release(data: Path, tmp_path: Path) -> None:
    (tmp_path / "bare.bin").write_bytes(bytes(range(255, -1, -1)) * 64)
    assert main(["image", "add", str(tmp_path / "bare.bin"), "--model", "phone", "--version", "2", "--data", str(data)]) == 0
    said = fault(doctor("--data", data), "unsigned releases")
    assert "phone/2" in said
    assert "neurath sign" in said
