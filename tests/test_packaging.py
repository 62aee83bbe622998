"""What a user gets from the wheel, in an environment that holds nothing else."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# What `hip --version` needs of the dependencies; the model libraries are not among them.
LIGHT = ["typer>=0.26", "rich>=14", "platformdirs>=4.3", "jinja2>=3.1.6"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(target.glob("*.whl"))


def test_top_level_names(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"hip_attention", "hipcli"}


def test_data_files_are_inside(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"hipcli/prompts/summarize.md", "hipcli/prompts/ask.md", "hip_attention/reference.py"} <= names
    assert any(name.startswith("hipcli/output/schema/") and name.endswith(".json") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.slow
def test_clean_environment(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "venv"
    venv.create(home, with_pip=True)

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([home / "bin" / command[0], *command[1:]], cwd=tmp_path, capture_output=True, text=True)

    assert run("python", "-m", "pip", "install", "-q", "--no-deps", str(wheel)).returncode == 0
    assert run("python", "-m", "pip", "install", "-q", *LIGHT).returncode == 0
    version = run("hip", "--version")
    assert (version.returncode, version.stdout.split()) == (0, ["hip", "0.1.0"])
    assert run("python", "-c", "import hipcli, hip_attention").returncode == 0
    assert "ModuleNotFoundError" in run("python", "-c", "import kernels").stderr
