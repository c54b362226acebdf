"""The genuine wintun.dll, which a package of npm's carries: it loads under wine, and what it cannot do there is told
as README.md says. It is fetched, never kept in the tree; without it these tests are left out."""

import hashlib
import io
import shutil
import subprocess
import tarfile

import pytest

import harness
import wine

PACKAGE = "@xiaobaidadada/node-tuntap2-wintun@3.0.2"
# Of version 0.14.1, as its makers sign and publish it.
SHA256 = {
    "amd64": "e5da8447dc2c320edc0fc52fa01885c103de8c118481f683643cacc3220dafce",
    "arm64": "f7ba89005544be9d85231a9e0d5f23b2d15b3311667e2dad0debd344918a3f80",
}


def library(processor):
    """The library's bytes; what is not what its makers published is refused."""
    kept = wine.BUILD.parent / "genuine"
    file = kept / ("wintun-%s.dll" % processor)
    if not file.exists():
        if not shutil.which("npm"):
            pytest.skip("no npm")
        kept.mkdir(parents=True, exist_ok=True)
        packed = subprocess.run(["npm", "pack", "--silent", "--ignore-scripts", PACKAGE], cwd=kept, capture_output=True, text=True,
                                timeout=300, check=False)
        if packed.returncode != 0:
            pytest.skip("npm cannot fetch it: " + packed.stderr[-200:])
        archive = kept / packed.stdout.split()[-1]
        with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as tar:
            for name in SHA256:
                data = tar.extractfile("package/wintun_dll/wintun-%s.dll" % name).read()
                assert hashlib.sha256(data).hexdigest() == SHA256[name]
                (kept / ("wintun-%s.dll" % name)).write_bytes(data)
        archive.unlink()
    data = file.read_bytes()
    assert hashlib.sha256(data).hexdigest() == SHA256[processor]
    return data


@pytest.fixture(scope="module")
def genuine():
    """genuine(processor): a folder with the program and the library in it."""
    folders = []

    def make(processor):
        folder = wine.Folder(standin=False)
        folders.append(folder)
        (folder.path / "wintun.dll").write_bytes(library(processor))
        return folder

    yield make
    for folder in folders:
        folder.remove()


def test_it_loads_with_all_its_names(genuine):
    done = wine.run(genuine("amd64"), "doctor")
    assert done.returncode == 0 and b"\nok      wintun.dll " in done.stdout, done


def test_an_adapter_cannot_be_made_there(genuine):
    folder = genuine("amd64")
    done = wine.run(folder, "run", folder.script(harness.PASS))
    text = done.stderr.decode()
    assert done.returncode == 3, text
    assert "warning: wintun: Failed to take device installation mutex" in text
    assert 'error: left device: can\'t make the network adapter "tunfilter0": wintun says: Failed to take' in text
    assert '"tunfilter0"' in text and "can't make the network adapter" in (harness.ROOT / "README.md").read_text()


def test_that_for_another_processor(genuine):
    folder = genuine("arm64")
    done = wine.run(folder, "run", folder.script(harness.PASS))
    assert done.returncode == 3 and b"wintun.dll is for ARM64, and this tunfilter.exe for x64 (amd64)" in done.stderr
