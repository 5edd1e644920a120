"""Files of others are what their packages had, with their licence beside them."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from paceline.web.rendering import STATIC

FOLDERS = (STATIC / "vendor", Path(__file__).with_name("vendor"))


@pytest.mark.parametrize("folder", FOLDERS, ids=["in the wheel", "of the tests"])
def test_each_file_of_others_has_its_package_version_licence_and_hash(folder: Path) -> None:
    packages = json.loads((folder / "VENDORED.json").read_text(encoding="utf-8"))
    told = {name: digest for each in packages for name, digest in each["files"].items()}
    there = {
        file.name: sha256(file.read_bytes()).hexdigest()
        for file in folder.iterdir()
        if file.name != "VENDORED.json"
    }
    assert there == told
    for package in packages:
        assert package["version"]
        assert package["license"]
        assert any("LICENSE" in name for name in package["files"])
