"""The command line against a real server: README's first session, every other command, and its errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.running import home_folder, serving, waymark


@pytest.fixture(scope="module")
def data_dir() -> Iterator[Path]:
    with home_folder("cli") as home, serving(home / "data"):
        yield home / "data"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "model.pkl").write_bytes(b"first" * 50_000)
    (tmp_path / "better.pkl").write_bytes(b"better" * 50_000)
    return tmp_path


class _Shell:
    def __init__(self, data_dir: Path, here: Path) -> None:
        self._data_dir = data_dir
        self._here = here

    def run(self, *arguments: str) -> str:
        done = waymark(self._data_dir, *arguments, cwd=self._here)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--output", "json"))

    def fails(self, code: int, *arguments: str) -> str:
        done = waymark(self._data_dir, *arguments, cwd=self._here)
        assert done.returncode == code, done.stderr + done.stdout
        return done.stderr


@pytest.fixture
def shell(data_dir: Path, here: Path) -> _Shell:
    return _Shell(data_dir, here)


def test_the_first_session_of_readme_works(shell: _Shell, here: Path) -> None:
    shell.run("data", "push", "model.pkl", "--tag", "validated", "--alias", "model-prod", "-m", "first model")
    shell.run("data", "push", "better.pkl", "--alias", "model-prod", "-m", "10 % better")
    history = shell.json("alias", "history", "model-prod")
    assert [(each["version"], each["kind"], each["reason"], each["via"]) for each in history] == [
        (2, "MOVED", "10 % better", "CLI"),
        (1, "CREATED", "first model", "CLI"),
    ]
    command = "cat $VH_INPUTS_DIR/model/*"
    shell.run("execution", "create", "--input", "model=datum://model-prod", "--command", command)
    shell.run("alias", "rollback", "model-prod", "-m", "worse in production")
    execution = shell.json("execution", "show", "1")
    (file,) = execution["inputs"][0]["files"]["nodes"]
    assert (file["datum"]["name"], file["aliasVersion"]) == ("better.pkl", 2)
    (here / "pulled").mkdir()
    shell.run("data", "pull", "datum://model-prod", "--to", "pulled")
    assert (here / "pulled" / "model.pkl").read_bytes() == (here / "model.pkl").read_bytes()
    assert [path.name for path in (here / "pulled").iterdir()] == ["model.pkl"]


def test_data_are_listed_shown_tagged_and_purged(shell: _Shell) -> None:
    pushed = shell.json("data", "push", "model.pkl", "--name", "[odd].pkl", "--tag", "a", "--property", "accuracy=0.9")
    datum = pushed["datum"]["id"]
    assert "[odd].pkl" in shell.run("data", "ls", "odd", "--tag", "a", "--property", "accuracy=0.9")
    assert shell.json("data", "show", datum)["properties"] == {"accuracy": 0.9}
    tagged = shell.json(
        "data", "tag", f"datum://{datum}", "--add", "b", "--remove", "a", "--remove-property", "accuracy"
    )
    assert (tagged["tags"], tagged["properties"]) == (["b"], {})
    shell.run("data", "purge", datum, "-m", "space")
    assert "PURGED" in shell.run("data", "show", datum)
    assert "DATUM_PURGED" in shell.fails(7, "data", "pull", datum)


def test_aliases_are_set_listed_resolved_and_deleted(shell: _Shell) -> None:
    first = shell.json("data", "push", "model.pkl", "--alias", "x")["datum"]
    second = shell.json("data", "push", "better.pkl")["datum"]
    at = shell.json("alias", "get", "x")["updatedAt"]
    assert shell.json("alias", "set", "x", second["id"], "--expect-version", "1", "-m", "why")["changed"]
    assert "CONFLICT" in shell.fails(5, "alias", "set", "x", first["id"], "--expect-version", "1")
    assert shell.json("alias", "resolve", "x")["datum"]["id"] == second["id"]
    assert shell.json("alias", "resolve", "datum://x", "--at", at)["datum"]["id"] == first["id"]
    assert "x" in [alias["name"] for alias in shell.json("alias", "list")]
    shell.run("alias", "delete", "x")
    assert "x" not in [alias["name"] for alias in shell.json("alias", "list")]
    assert "x" in [alias["name"] for alias in shell.json("alias", "list", "--deleted")]
    assert "points nowhere" in shell.run("alias", "get", "x")
    assert shell.json("alias", "rollback", "x", "--to-version", "1")["alias"]["datum"]["id"] == first["id"]


def test_executions_are_listed_copied_and_stopped(shell: _Shell) -> None:
    shell.run("data", "push", "model.pkl", "--alias", "in")
    made = shell.json(
        *("execution", "create", "-c", "run", "-i", "m=datum://in", "--param", "lr=0.1", "--param", "name=x"),
        *("--env", "A=1", "--secret", "B=2"),
    )
    assert made["parameters"] == {"lr": 0.1, "name": "x"}
    assert made["environment"][1] == {"name": "B", "value": None, "secret": True}
    shell.run("data", "push", "better.pkl", "--alias", "in")
    number = str(made["number"])
    kept, renewed = shell.json("execution", "copy", number), shell.json("execution", "copy", number, "--reresolve")
    names = [each["inputs"][0]["files"]["nodes"][0]["datum"]["name"] for each in (kept, renewed)]
    assert names == ["model.pkl", "better.pkl"]
    assert "STOPPED" in shell.run("execution", "stop", number)
    assert number in shell.run("execution", "list", "--status", "stopped")


def test_tasks_are_created_listed_and_shown(shell: _Shell, here: Path) -> None:
    shell.run("data", "push", "model.pkl", "--alias", "task-in")
    (here / "sets.json").write_text('[{"lr": 0.3}]')
    made = shell.json(
        *("task", "create", "-c", "train", "-i", "m=datum://task-in", "--set", "lr=0.1,name=x", "--set", "lr=0.2"),
        *("--sets", "sets.json", "--title", "sweep"),
    )
    assert made["counts"] == [{"status": "QUEUED", "count": 3}]
    number = str(made["number"])
    assert "3 QUEUED" in shell.run("task", "list")
    assert "sweep" in shell.run("task", "show", number)
    children = shell.json("execution", "list", "--task", number)
    assert [child["number"] for child in children] == sorted((child["number"] for child in children), reverse=True)
    shell.run("execution", "stop", str(children[0]["number"]))
    assert "2 QUEUED, 1 STOPPED" in shell.run("task", "show", number)
    assert "parameterSets has 0 entries" in shell.fails(6, "task", "create", "-c", "train")
    assert "NOT_FOUND" in shell.fails(4, "task", "show", "99")


def test_projects_and_tokens_are_managed(shell: _Shell, data_dir: Path) -> None:
    shell.run("project", "create", "team", "--name", "The team")
    assert "The team" in shell.run("project", "list")
    secret = shell.run("token", "create", "ci", "--scope", "write", "--limit-to", "team").strip()
    assert waymark(data_dir, "alias", "list", "--project", "team", "--token", secret).returncode == 0
    assert "NOT_FOUND" in shell.fails(4, "alias", "list", "--token", secret)
    (token,) = [each for each in shell.json("token", "list") if each["name"] == "ci"]
    shell.run("token", "revoke", token["id"])
    assert "UNAUTHENTICATED" in shell.fails(3, "alias", "list", "--project", "team", "--token", secret)


def test_a_raw_document_is_sent_and_its_answer_printed(shell: _Shell, here: Path) -> None:
    assert json.loads(shell.run("query", "{ viewer { name } }")) == {"data": {"viewer": {"name": "admin"}}}
    (here / "query.graphql").write_text("query($s: String!) { project(slug: $s) { slug } }")
    assert "default" in shell.run("query", "@query.graphql", "--variables", '{"s": "default"}')
    assert "Cannot query" in shell.fails(1, "query", "{ nothing }")
    assert "no JSON" in shell.fails(6, "query", "{ viewer { name } }", "--variables", "{")


def test_a_file_that_is_there_is_not_replaced_unless_forced(shell: _Shell, here: Path) -> None:
    datum = shell.json("data", "push", "model.pkl")["datum"]["id"]
    assert "already, verified" in shell.run("data", "pull", datum)
    (here / "model.pkl").write_text("mine")
    assert "is there already" in shell.fails(6, "data", "pull", datum)
    assert (here / "model.pkl").read_text() == "mine"
    shell.run("data", "pull", datum, "--force")
    assert (here / "model.pkl").read_bytes().startswith(b"first")


def test_errors_say_what_to_do_and_exit_by_kind(shell: _Shell, data_dir: Path, tmp_path: Path) -> None:
    assert "There is no project 'nope'" in shell.fails(4, "alias", "set", "a", "b", "--project", "nope")
    assert "bad name" in shell.fails(6, "data", "push", "model.pkl", "--alias", "bad name", "--tag", "refused")
    assert "refused" not in shell.run("data", "ls", "--status", "pending", "--status", "expired")
    assert "model.txt" in shell.fails(2, "data", "push", "model.txt")
    assert "expected NAME=VALUE" in shell.fails(6, "execution", "create", "-c", "x", "-i", "model")
    assert "STORE_UNAVAILABLE" in shell.fails(9, "alias", "list", "--url", "http://127.0.0.1:1")
    nowhere = waymark(tmp_path / "nowhere", "alias", "list")
    assert nowhere.returncode == 9
    assert "waymark serve" in nowhere.stderr


@pytest.mark.parametrize("group", ["", "project", "data", "alias", "execution", "task", "token", "serve", "query"])
def test_help_helps(data_dir: Path, group: str) -> None:
    shown = waymark(data_dir, *([group] if group else []), "--help")
    assert shown.returncode == 0
    assert "Usage" in shown.stdout


def test_lineage_is_drawn_as_a_tree_json_or_a_graph(shell: _Shell) -> None:
    datum = shell.json("data", "push", "model.pkl", "--name", "weights [v1].pkl", "--alias", "traced")["datum"]["id"]
    number = shell.json("execution", "create", "-c", "run", "-i", "model=datum://traced", "--title", "predict")[
        "number"
    ]
    tree = shell.run("lineage", "down", "traced")
    assert "weights [v1].pkl" in tree
    assert f"model: execution {number} predict (QUEUED)" in tree
    assert "weights [v1].pkl" in shell.run("lineage", "up", str(number))
    found = shell.json("lineage", "down", datum)
    assert [node["depth"] for node in found["nodes"]] == [0, 1]
    assert "->" in shell.run("lineage", "down", "traced", "--output", "dot")
    assert "There is more" in shell.run("lineage", "down", "traced", "--depth", "0")
    assert "NOT_FOUND" in shell.fails(4, "lineage", "up", "999")
