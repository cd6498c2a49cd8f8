"""The server's verbs from model to rollout, as a person types them, beside no server; dry runs change nothing."""

from __future__ import annotations

import json

import pytest

from neurath.cli.main import main
from neurath.flash.geometry import model_to_toml
from neurath.wire import manifest
from neurath.wire.keys import public_pem
from tests.server.world import KEY, MODEL, image


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "phone.toml").write_text(model_to_toml(MODEL))
    (tmp_path / "release.pub.pem").write_bytes(public_pem(KEY.public))
    for number in (1, 2):
        (tmp_path / f"{number}.bin").write_bytes(image(number))
        contents = manifest.contents_of(image(number), MODEL, sequence=number)
        (tmp_path / f"{number}.env").write_bytes(manifest.sign(contents, KEY))

    def verb(words: str | list[str], code: int = 0):
        """The objects a verb prints with --json."""
        given = words.split() if isinstance(words, str) else words
        assert main([*given, "--json"]) == code
        said = capsys.readouterr()
        return [json.loads(line) for line in (said.out if code == 0 else said.err).splitlines()]

    return verb


def prepare(run):
    run("model add phone.toml --release-key release.pub.pem")
    for number in (1, 2):
        run(f"image add {number}.bin --model phone --version {number}.0 --envelope {number}.env")


def test_from_model_to_a_running_rollout(run):
    prepare(run)
    assert [r["name"] for r in run("image list")] == ["phone/2.0", "phone/1.0"]
    token = run("terminal add t1 --model phone")[0]["token"]
    assert len(token) == 48
    assert run("terminal why t1")[0]["why"] == "no running rollout and no pin names a release for it"
    made = run("rollout create --release phone/2.0 --all --start")[0]
    assert (made["state"], made["everyone"]) == ("running", True)
    assert "has not shown" in run("terminal why t1")[0]["why"]
    assert run("terminal show t1")[0]["model"] == "phone"
    assert run("terminal timeline t1") == []
    assert run(f"rollout pause {made['id']}")[0]["state"] == "paused"
    assert run(f"rollout pause {made['id']}", 3)[0]["what"]
    assert run(f"rollout abort {made['id']}")[0]["state"] == "aborted"
    assert run(f"rollout start {made['id']}", 5)[0]["error"] == "NRT-300"
    assert run("terminal pin t1 phone/1.0")[0]["pin"] == "phone/1.0"
    assert run("terminal pin t1 --none")[0]["pin"] is None
    assert [r["id"] for r in run("rollout show")] == [made["id"]]


def test_a_list_of_terminals_is_imported_and_each_token_printed_once(run, tmp_path):
    prepare(run)
    (tmp_path / "list.csv").write_text("id,model,token\na1,phone,\na2,phone," + "z" * 40 + "\n")
    made = run("terminal import list.csv")
    assert [m["id"] for m in made] == ["a1", "a2"]
    assert [len(m["token"]) for m in made] == [48, 0]  # one that the list gave is not repeated
    assert "token" not in run("terminal list")[0]
    assert run("terminal import list.csv", 5)
    (tmp_path / "list.csv").write_text("id,model\na1,phone\na3,phone\n")
    assert run("terminal import list.csv --dry-run")[0] == {"count": 2, "known": 1}
    assert [len(m["token"]) for m in run("terminal import list.csv --skip-known")] == [0, 48]


def test_the_life_of_terminals_channels_and_filters_as_a_person_types_them(run):
    prepare(run)
    for number in range(3):
        run(f"terminal add t{number} --model phone")
    run("terminal tag t0 field")
    assert run("filter save field tag:field")[0]["text"] == "tag:field"
    assert run(["filter", "save", "odd", "saved:field and"], 2)
    assert run(["filter", "save", "rest", "not saved:field"])[0]["text"] == "not (tag:field)"
    assert {one["name"]: one["terminals"] for one in run("filter list")} == {"field": 1, "rest": 2}
    assert [one["id"] for one in run("terminal list --target saved:rest")] == ["t1", "t2"]
    assert run("terminal list --target saved:absent", 4)[0]["error"] == "NRT-147"
    made = run("rollout create --release phone/2.0 --all --start --target saved:field")[0]
    assert made["target"] == "(tag:field)"
    run("filter remove field")
    assert run("filter remove field", 4)
    assert len(run("terminal replace t1 t9")[0]["token"]) == 48
    assert "out of service" in run("terminal why t1")[0]["why"]
    assert run("terminal decommission t1", 3)
    assert [one["id"] for one in run("terminal list")] == ["t0", "t2", "t9"]
    assert [one["replaced_by"] for one in run("terminal list --retired")] == ["", "t9", "", ""]
    assert run("terminal decommission t2 --why broken")
    assert len(run("terminal recommission t2")[0]["token"]) == 48
    assert run("terminal recommission t2", 3)
    assert run("terminal channel t2 beta")[0]["channel"] == "beta"
    assert run("image channels phone/2.0 beta")[0]["channels"] == ["beta"]
    assert run("image channels phone/2.0")[0]["channels"] == []
    assert run("terminal one t2", 3)
    assert run("terminal confirm t2", 3)


def test_dry_runs_change_nothing(run, tmp_path):
    run("model add phone.toml --release-key release.pub.pem")
    for words in (
        "model add --plain lab --dry-run",
        "image add 1.bin --model phone --version 1.0 --envelope 1.env --dry-run",
        "terminal add t1 --model phone --dry-run",
    ):
        run(words)
    assert [m["name"] for m in run("model list")] == ["phone"]
    assert run("image list") == []
    assert run("terminal list") == []
    assert not any(p.is_file() for p in (tmp_path / "neurath-data/files").rglob("*"))
    prepare(run)
    assert run("rollout create --release phone/1.0 --all --start --dry-run")[0]["state"] == "running"
    assert run("rollout show") == []


def test_an_image_without_an_envelope_is_known_and_not_offered(run):
    run("model add phone.toml --release-key release.pub.pem")
    run("image add 1.bin --model phone --version 1.0")
    assert run("rollout create --release phone/1.0 --all", 5)[0]["error"] == "NRT-326"
    run("image add 1.bin --model phone --version 1.0 --envelope 1.env")
    assert run("image add 1.bin --model phone --version 1.0 --envelope 1.env", 3)
    assert run("rollout create --release phone/1.0 --all")[0]["state"] == "draft"


def test_which_of_several_files_rides_first_is_said_to_the_release_and_to_the_folder(run, tmp_path):
    run("model add phone.toml --release-key release.pub.pem")
    assert run("image add 1.bin --model phone --version 1.0 --envelope 1.env --priority 3")[0]["priority"] == 3
    assert run("image priority phone/1.0 -9 --dry-run")[0]["priority"] == -9
    assert run("image priority phone/1.0 3", 3)
    assert run("image priority phone/1.0 9")[0]["priority"] == run("image show phone/1.0")[0]["priority"] == 9
    assert run("image priority phone/1.0 10", 2)[0]["why"]
    assert run("image priority phone/7.0 1", 4)
    (tmp_path / "in").mkdir()
    assert run("watch add in --model phone --priority 10", 2)
    assert run("watch add in --model phone --priority 7")[0]["priority"] == 7
    assert run("image add 2.bin --model phone --version 2.0 --envelope 2.env")[0]["priority"] == 7


def test_a_private_key_is_refused(run, tmp_path):
    (tmp_path / "release.pem").write_bytes(KEY.pem())
    assert run("model add phone.toml --release-key release.pem", 5)[0]["error"] == "NRT-321"


def test_waves_targets_and_tags_as_a_person_types_them(run, tmp_path):
    prepare(run)
    for number in range(10):
        run(f"terminal add t{number} --model phone")
    assert run("terminal tag t1 field beta")[0]["tags"] == ["beta", "field"]
    assert run("terminal tag t1 no-beta")[0]["tags"] == ["field"]
    assert run("terminal tag t1 a/b", 1)[0]["error"] == "NRT-201"
    made = run("rollout create --release phone/2.0 --all --start --waves 2,50%")[0]
    assert made["policy"] == "waves=2,50% go-on=90% halt=10% patience=1d"
    assert made["tally"] == {"targets": 10, "admitted": 2, "confirmed": 0, "failed": 0, "silent": 0}
    assert run(f"rollout pause {made['id']}")[0]["state"] == "paused"
    assert run(f"rollout resume {made['id']}")[0]["state"] == "running"
    assert run(f"rollout resume {made['id']}", 3)[0]["what"]
    assert run("rollout create --release phone/2.0 --all --pieces http,dhcp")[0]["pieces"] == "dhcp,http"
    assert run("rollout create --release phone/2.0 --all --pieces 65", 2)[0]["why"]
    one = run("rollout create --release phone/2.0 --all --start --target tag:field")[0]
    assert one["tally"]["targets"] == one["tally"]["admitted"] == 1
    assert run("rollout create --release phone/2.0 --all --waves 0", 2)[0]["why"]
    assert run("rollout create --release phone/2.0 --all --waves 5 --policy default", 2)[0]["what"]
    assert run("rollout create --release phone/2.0 --all --target colour", 2)[0]["why"]
    listed = {one["id"]: one["software"]["firmware"] for one in run("terminal list")}
    assert listed["t1"] == {"newest": "2.0", "runs": "", "mark": "undistributed"}
    (tmp_path / "in").mkdir()
    words = "watch add in --model phone --auto --target site=osaka --policy"
    assert run(f"{words} sometime", 2)[0]["why"]
    bound = run(f"{words} waves=3 --pieces 128")[0]
    assert (bound["policy"], bound["target"]) == ("waves=3 go-on=90% halt=10% patience=1d", "site=osaka")
    assert bound["pieces"] == run("watch list")[0]["pieces"] == "128"
    assert run(f"{words} waves=3 --pieces 128", 3)[0]["what"]
    assert run(f"{words} waves=3 --pieces 64", 5)[0]["error"] == "NRT-344"
    assert run(f"{words} waves=4", 5)[0]["error"] == "NRT-344"


def test_a_second_person_a_recall_and_the_stop_of_everything_as_a_person_types_them(run):
    prepare(run)
    run("terminal add t1 --model phone")
    words = "--release phone/2.0 --all --start --policy"
    made = run([*f"rollout create {words}".split(), "at-once approve=yes window=daily,00:00-24:00,UTC", "--by", "ann"])[0]
    number = made["id"]
    assert (made["state"], made["author"]) == ("waiting", "ann")
    assert run(f"rollout approve {number} --by ann", 5)[0]["error"] == "NRT-355"
    assert run(f"rollout deny {number} --by ben --why later")[0]["state"] == "draft"
    assert run(f"rollout start {number} --by ann")[0]["state"] == "waiting"
    assert run(f"rollout approve {number} --by ben --dry-run")[0]["state"] == "running"
    assert run(f"rollout approve {number} --by ben")[0]["approver"] == "ben"
    assert run(f"rollout retry {number}")[0]["state"] == "running"
    assert run("rollout stop-all --by ann --why smoke")[0]["stopped"] is True
    assert run("rollout stop-all", 3)
    assert "everything is stopped by ann" in run("terminal why t1")[0]["why"]
    assert run("rollout go-on --dry-run")
    assert run("rollout go-on")[0]["stopped"] is False
    assert run("rollout go-on", 3)
    assert run("image revoke phone/2.0 --why burns --dry-run")[0]["rollouts"] == [number]
    assert run("image revoke phone/2.0 --why burns")[0]["rollouts"] == [number]
    assert run("image revoke phone/2.0", 3)
    assert run("image show phone/2.0")[0]["revoked_why"] == "burns"
    assert run(f"rollout show {number}")[0]["why"] == "phone/2.0 was revoked: burns"
    assert run(f"rollout start {number}", 5)


def test_how_a_tenants_devices_show_who_they_are(run):
    prepare(run)
    made = run(f"tenant set west --gateway-token new --authority {'AB' * 20} --model phone")[0]
    assert (len(made["token"]), made["authorities"], made["model"]) == (48, ["ab" * 20], "phone")
    shown = run("tenant show west")[0]
    assert (shown["gateway"], shown["token"]) == (True, "")
    assert run("tenant set west --authority x/y", 1)[0]["error"] == "NRT-262"
    assert run("tenant set west --model absent", 4)
    assert run("tenant set west --gateway-token off --authority none --model none")[0]["gateway"] is False
    assert run("tenant show")[0]["first_contact"] is True
