# SPDX-License-Identifier: MIT
"""Builds the C library by its own build, then the extension beside it.

The library's sources are those of the repository around this folder, or of the folder csource/ that a source distribution
brings along. CHAOSEATER_C_BUILD names a folder in which they have been built already. What they need from the system is what
tools/setup.sh there installs.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

HERE = Path(__file__).resolve().parent
LIBRARY = "libchaoseater.so.0"
# What lies beside the library: it looks for its helpers there.
PROGRAMS = ["chaoseater", "src/pipeline/chaoseater-pipeline"]
HELPERS = [f"src/pipeline/libchaoseater-{name}.so" for name in ("accelerator", "clock", "gpu", "leak")]
C_SOURCES = ["meson.build", "meson_options.txt", "LICENSE", "include", "src", "cli", "man", "tools"]


def c_source() -> Path:
    carried = HERE / "csource"
    return carried if carried.is_dir() else HERE.parent


def version() -> str:
    found = re.search(r"^\s*version: '([^']+)'", (c_source() / "meson.build").read_text(), re.MULTILINE)
    assert found, "meson.build states no version"
    return found[1]


class BuildExtension(build_ext):
    """The extension, with the library and its helpers in the same folder."""

    def run(self) -> None:
        build = self.build_c()
        extension = self.extensions[0]
        extension.include_dirs.append(str(c_source() / "include"))
        extension.extra_link_args += [str(build / LIBRARY), "-Wl,-rpath,$ORIGIN"]
        super().run()
        package = Path(self.get_ext_fullpath(extension.name)).parent
        for name in [LIBRARY, *PROGRAMS, *HELPERS]:
            target = package / Path(name).name
            target.unlink(missing_ok=True)
            shutil.copy(build / name, target)  # a link is followed: wheels have none

    def build_c(self) -> Path:
        ready = os.environ.get("CHAOSEATER_C_BUILD")
        if ready:
            return Path(ready).resolve()
        build = Path(self.build_temp).resolve() / "c"
        if not (build / "build.ninja").exists():
            subprocess.run(["meson", "setup", str(build), str(c_source()), "--buildtype=release"], check=True)
        subprocess.run(["ninja", "-C", str(build)], check=True)
        return build


class SourceDistribution(sdist):
    """With the sources of the library, without which the extension is nothing."""

    def make_release_tree(self, base_dir: str, files: list) -> None:
        super().make_release_tree(base_dir, files)
        for name in C_SOURCES:
            source, target = c_source() / name, Path(base_dir) / "csource" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)


setup(
    version=version(),
    packages=["chaoseater", "fault_injectors", "observers"],
    package_dir={"chaoseater": "src/chaoseater"},
    package_data={"chaoseater": ["py.typed", "*.pyi"]},
    py_modules=["advanced_rollback", "chaos_controller", "experiment_history", "grafana_dashboard", "orchestrator"],
    ext_modules=[Extension("chaoseater._core", sorted(str(path.relative_to(HERE)) for path in HERE.glob("core/*.c")),
                           depends=["core/core.h"], py_limited_api=True, extra_compile_args=["-std=gnu17", "-fvisibility=hidden"])],
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
    cmdclass={"build_ext": BuildExtension, "sdist": SourceDistribution},
)
