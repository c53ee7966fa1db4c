"""`dnarc plugin test`: what a policy would have done, before it is switched on."""

from pathlib import Path

from simulations.processes.process import running
from tests.node.cli.conftest import run
from tests.node.cli.entry_files import signed, written
from tests.node.write_plugin.programs import REJECTING_SPAM, program


def settings(folder: Path, text: str) -> str:
    file = folder / "dnarc.toml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_the_records_of_a_file_are_played_through_the_rules(tmp_path: Path) -> None:
    records = [signed("a"), signed("spam"), signed("spam2")]
    config = settings(tmp_path, '[write]\nbanned_labels = ["spam"]\n')

    done = run("plugin", "test", str(written(tmp_path, *records)), "--config", config, "--json")
    shown = run("plugin", "test", str(written(tmp_path, *records)), "--config", config)

    assert (done.code, done.json["accepted"], done.json["refused"], done.json["fault"]) == (0, 1, 2, None)
    assert done.json["reasons"] == [{"rule": "banned_labels", "message": None, "count": 2}]
    assert "1 taken, 2 refused" in shown.out


def test_the_records_of_a_folder_are_played_through_the_program_while_a_node_runs_on_it(tmp_path: Path) -> None:
    command = ", ".join(f'"{part}"' for part in program(tmp_path, REJECTING_SPAM))
    config = settings(tmp_path, f"write_plugin = [{command}]\n")
    key = tmp_path / "key"
    with running("one", tmp_path / "data") as node:
        run("keygen", str(key))
        for label in ("garden", "spam"):
            run("claim", "example.org", label, "n=1", "--key", str(key), "--node", node.url)
        done = run("plugin", "test", "--data", str(tmp_path / "data"), "--config", config, "--json")

    assert (done.code, done.json["accepted"]) == (0, 1)
    assert done.json["reasons"] == [{"rule": "write_plugin", "message": "no spam, please", "count": 1}]


def test_a_program_that_fails_is_named_and_ends_with_1(tmp_path: Path) -> None:
    command = ", ".join(f'"{part}"' for part in program(tmp_path, "sys.stderr.write('oops\\n'); sys.exit(7)"))
    config = settings(tmp_path, f"write_plugin = [{command}]\n")

    done = run("plugin", "test", str(written(tmp_path, signed("a"))), "--config", config, "--json")

    assert done.code == 1
    assert '"fault":"it ended by itself (exit code 7)"' in done.out
    assert "dnarc: plugin: the program failed: it ended by itself (exit code 7)" in done.err
    assert "oops" in done.err


def test_wrong_use_is_explained(tmp_path: Path) -> None:
    file = str(written(tmp_path, signed("a")))

    assert "name either a FILE of records or a data folder" in run("plugin", "test").err
    assert "neither a table [write] nor a write_plugin" in run("plugin", "test", file).err
    config = settings(tmp_path, 'write_plugin = ["/nowhere"]\n')
    assert "cannot be started" in run("plugin", "test", file, "--config", config).err
    rules = settings(tmp_path, "[write]\nfounders = []\n")
    (tmp_path / "bad").write_text("nonsense\n")
    assert "malformed: line 1: " in run("plugin", "test", str(tmp_path / "bad"), "--config", rules).err
    assert "absent cannot be read" in run("plugin", "test", str(tmp_path / "absent"), "--config", rules).err
