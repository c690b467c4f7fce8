"""Sidecars: what is applied, what is a warning, and that files are kept either way."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from app.worker.outputs import open_below
from app.worker.sidecars import Description, Sidecars, read_sidecars


def _read(folder: Path, **files: str) -> Sidecars:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return read_sidecars(folder, partial(open_below, folder))


def test_a_sidecar_gives_alias_tags_and_properties_and_is_no_output(tmp_path: Path) -> None:
    found = _read(
        tmp_path,
        **{
            "deep/model.pkl": "m",
            "deep/model.pkl.metadata.json": '{"valohai.alias": "model-staging", "valohai.tags": ["a"], "auc": 0.9}',
            "other.csv": "1",
        },
    )
    assert found.outputs == {
        "deep/model.pkl": Description("model-staging", ["a"], {"auc": 0.9}),
        "other.csv": Description(),
    }
    assert found.faults == []


def test_lines_of_one_file_describe_many(tmp_path: Path) -> None:
    lines = '{"file": "a", "metadata": {"n": 1}}\n\n{"file": "b/c", "metadata": {"valohai.tags": ["t"]}}\n'
    found = _read(tmp_path, **{"a": "", "b/c": "", "valohai.metadata.jsonl": lines})
    assert found.outputs == {"a": Description(properties={"n": 1}), "b/c": Description(tags=["t"])}


def test_keys_that_mean_nothing_here_are_kept_and_told(tmp_path: Path) -> None:
    found = _read(tmp_path, **{"a": "", "a.metadata.json": '{"valohai.dataset-versions": ["x"], "n": 1}'})
    assert found.outputs == {"a": Description(properties={"valohai.dataset-versions": ["x"], "n": 1})}
    (fault,) = found.faults
    assert (fault.code, fault.key) == ("SIDECAR_UNKNOWN_KEY", "valohai.dataset-versions")


@pytest.mark.parametrize(
    ("sidecar", "key", "fault"),
    [
        ('{"valohai.alias": ["a", "b"], "n": 1}', "valohai.alias", "expected one name"),
        ('{"valohai.tags": "a", "n": 1}', "valohai.tags", "expected a list of texts"),
        ('{"valohai.tags": [1], "n": 1}', "valohai.tags", "expected a list of texts"),
        ("{no json", None, "no JSON"),
        ('{"n": NaN}', None, "NaN is no JSON"),
        ('{"n": -Infinity}', None, "-Infinity is no JSON"),
        ("[1]", None, "no JSON object"),
    ],
)
def test_what_is_wrong_is_told_and_the_file_is_kept(tmp_path: Path, sidecar: str, key: str | None, fault: str) -> None:
    found = _read(tmp_path, **{"a": "", "a.metadata.json": sidecar})
    assert set(found.outputs) == {"a"}
    assert found.outputs["a"].alias is None
    assert found.outputs["a"].properties == ({"n": 1} if key else {})
    (told,) = found.faults
    assert (told.code, told.file, told.key) == ("SIDECAR_INVALID", "a.metadata.json", key)
    assert fault in told.message


def test_a_sidecar_without_its_file_a_file_in_both_forms_and_one_alias_twice_are_told(tmp_path: Path) -> None:
    alias = '{"valohai.alias": "prod", "n": 1}'
    found = _read(
        tmp_path,
        **{
            "gone.metadata.json": "{}",
            "both": "",
            "both.metadata.json": '{"n": 1}',
            "one": "",
            "one.metadata.json": alias,
            "two": "",
            "two.metadata.json": alias,
            "valohai.metadata.jsonl": '{"file": "both", "metadata": {"n": 2}}\n{"metadata": 1}\nnonsense',
        },
    )
    assert found.outputs == {
        "both": Description(),
        "one": Description(properties={"n": 1}),
        "two": Description(properties={"n": 1}),
    }
    assert sorted((fault.file, fault.key) for fault in found.faults if fault.key) == [
        ("one", "valohai.alias"),
        ("two", "valohai.alias"),
    ]
    assert {fault.file for fault in found.faults if not fault.key} == {
        "gone.metadata.json",
        "both",
        "valohai.metadata.jsonl, line 2",
        "valohai.metadata.jsonl, line 3",
    }


def test_a_link_is_no_output_and_nothing_behind_it_is_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text('{"key": "secret"}')
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    (outputs / "a").write_text("")
    (outputs / "a.metadata.json").symlink_to(secret)
    (outputs / "b").symlink_to(secret)
    (outputs / "folder").symlink_to(tmp_path)
    found = read_sidecars(outputs, partial(open_below, outputs))
    assert found.outputs == {"a": Description()}
    assert [fault.file for fault in found.faults] == ["a.metadata.json", "b", "folder"]
