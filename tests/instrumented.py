"""Build nerva for a tool that watches what its C does, and run tests on that build.

    python tests/instrumented.py address  --build build/address    # addresses, undefined behaviour
    python tests/instrumented.py thread   --build build/thread     # races
    python tests/instrumented.py valgrind --build build/valgrind   # addresses, values that nobody set; AVX2
    python tests/instrumented.py coverage --build build/coverage   # lines and branches that the tests run

Needs gcc with its sanitizers (or valgrind), and what builds nerva: meson, ninja, Cython, MKL; `coverage` also needs
coverage.py (`pip install 'coverage>=7.10'`). Prints what the tool found, and ends with code 1 if there is something, or
a test failed. What is no code of ours is in tests/suppressions, with its reason. docs/reliability.md has the results.
"""

import argparse
import gzip
import json
import os
import platform
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SUPPRESSIONS = Path(__file__).parent / "suppressions"
KERNELS = ["tests/_kernels"]
FILE = r"nerva/_kernels/(?:native/)?[\w.]+"


@dataclass
class Tool:
    """How nerva is built for a tool, and run by it."""

    options: list[str]  # of meson
    libraries: list[str] = field(default_factory=list)  # of gcc, loaded first
    environment: dict[str, str] = field(default_factory=dict)
    command: list[str] = field(default_factory=list)  # before the interpreter
    tests: list[str] = field(default_factory=lambda: [*KERNELS])


TOOLS = {
    "address": Tool(
        ["-Db_sanitize=address,undefined", "-Db_lundef=false", "-Doptimization=1"],
        ["libasan.so", "libubsan.so"],
        {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"},
    ),
    "thread": Tool(
        ["-Db_sanitize=thread", "-Db_lundef=false", "-Doptimization=1"],
        ["libtsan.so"],
        {"TSAN_OPTIONS": f"suppressions={SUPPRESSIONS / 'thread.txt'}:exitcode=0"},
        ["setarch", platform.machine(), "-R"],  # it has no room among random addresses
    ),
    "valgrind": Tool(
        ["-Doptimization=1"],
        environment={"NERVA_ISA": "avx2", "PYTHONMALLOC": "malloc", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
        command=["valgrind", "--quiet", "--xml=yes", "--leak-check=no"],
    ),
    "coverage": Tool(["-Db_coverage=true", "-Doptimization=0"], tests=[]),
}
# Of coverage.py, for the processes of tests and those that they start.
COVERAGE = """[run]
branch = true
parallel = true
patch = subprocess
source = {site}/nerva
data_file = {folder}/python.coverage
[report]
exclude_also =
    if _TYPE_CHECKING
    if TYPE_CHECKING
    raise NotImplementedError
    @abstractmethod
    \\.\\.\\.$
"""


def build(tool: Tool, folder: Path) -> Path:
    """Compile nerva as a tool wants it; return the folder that `nerva` is in."""
    site = folder.resolve() / "site"
    settings = [f"-Dpython.{kind}libdir={site}" for kind in ("pure", "plat")]
    if not (folder / "build.ninja").exists():
        command = ["meson", "setup", str(folder), str(ROOT), "-Ddebug=true", *settings, *tool.options]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", str(folder), "install"], check=True, stdout=subprocess.DEVNULL)
    return site


def test(tool: Tool, site: Path, arguments: list[str], log: Path) -> int:
    """Run pytest by a tool; return its exit code. What both say is in the log."""
    preloaded = [
        subprocess.run(["gcc", f"-print-file-name={name}"], check=True, capture_output=True, text=True).stdout.strip()
        for name in tool.libraries
    ]
    for old in log.parent.glob("report.*"):
        old.unlink()
    where = f":log_path={log.parent / 'report'}"  # pytest would keep what is told on stderr for itself
    environment = os.environ | {"PYTHONPATH": str(site)}
    environment |= {key: value + where * key.endswith("_OPTIONS") for key, value in tool.environment.items()}
    command = [*tool.command]
    if "valgrind" in command:
        command += [f"--xml-file={log.with_suffix('.xml')}"]
    command += ["env", f"LD_PRELOAD={' '.join(preloaded)}"] if preloaded else []
    command += [sys.executable, "-P", "-m"]
    if tool is TOOLS["coverage"]:
        settings = log.parent / "coverage.ini"
        settings.write_text(COVERAGE.format(site=site, folder=log.parent))
        command += ["coverage", "run", f"--rcfile={settings}", "-m"]
    command += ["pytest", "-p", "no:cacheprovider", *arguments]
    with log.open("w") as file:
        return subprocess.run(command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT).returncode


def of_sanitizer(folder: Path) -> list[str]:
    """Return the findings of a sanitizer, each once, by what it is and the place in our code."""
    text = "\n".join(path.read_text(errors="replace") for path in folder.glob("report.*"))
    found = re.findall(rf"({FILE}:\d+:\d+: runtime error: .*)", text)
    for report in re.split(r"(?m)^(?===\d+==ERROR: |WARNING: ThreadSanitizer)", text)[1:]:
        title = report.splitlines()[0]
        place = re.search(rf"{FILE}:\d+", report)
        found.append(
            f"{re.sub(r'0x[0-9a-f]+|==[0-9]+==|pid=[0-9]+', '', title)} {place[0] if place else '(elsewhere)'}"
        )
    return sorted(set(found))


def of_valgrind(log: Path) -> list[str]:
    """Return the findings of valgrind in code of ours or called by it, each once.

    Python, its modules and the loader of libraries have hundreds: they read whole words past the ends of strings.
    """
    found = set()
    for error in ElementTree.parse(log.with_suffix(".xml")).iter("error"):
        what = error.findtext("what") or error.findtext("xwhat/text") or ""
        frames = list(error.iter("frame"))[:6]
        if any("nerva/_kernels" in (frame.findtext("obj") or "") for frame in frames):
            places = [f"{frame.findtext('fn')} ({frame.findtext('line') or frame.findtext('obj')})" for frame in frames]
            found.add(f"{what}: {' < '.join(places)}")
    return sorted(found)


def of_coverage(folder: Path) -> list[str]:
    """Print the Python that was run; return nothing: the figure is the finding."""
    command = [sys.executable, "-m", "coverage"]
    settings = [f"--rcfile={folder / 'coverage.ini'}"]
    subprocess.run([*command, "combine", "--quiet", *settings], check=True, cwd=folder)
    subprocess.run([*command, "report", "--skip-covered", "--sort=-miss", *settings], check=True, cwd=folder)
    return []


def of_gcov(folder: Path) -> list[str]:
    """Print the lines of native/ that were run; return nothing: the figure is the finding."""
    hits: dict[str, dict[int, int]] = {}
    for notes in sorted(folder.rglob("*.gcda")):
        if "native" not in notes.parts[-2]:
            continue
        done = subprocess.run(
            ["gcov", "--json-format", "--stdout", str(notes)], check=True, capture_output=True, cwd=folder
        )
        data = gzip.decompress(done.stdout) if done.stdout[:2] == b"\x1f\x8b" else done.stdout
        for line in data.splitlines():
            for part in json.loads(line)["files"]:
                if "/native/" in part["file"] or "_kernels/native" in part["file"]:
                    lines = hits.setdefault(Path(part["file"]).name, {})
                    for row in part["lines"]:
                        number = row["line_number"]
                        lines[number] = max(lines.get(number, 0), row["count"])
    print("| file | lines | run | not run |\n|---|---:|---:|---|")
    total = run = 0
    for name, lines in sorted(hits.items()):
        missed = [number for number, count in sorted(lines.items()) if not count]
        total, run = total + len(lines), run + len(lines) - len(missed)
        print(f"| {name} | {len(lines)} | {1 - len(missed) / len(lines):.1%} | {' '.join(map(str, missed[:12]))} |")
    print(f"| all of native/ | {total} | {run / max(total, 1):.1%} | |")
    return []


def main() -> int:
    """Run the command line, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tool", choices=TOOLS)
    parser.add_argument("--build", type=Path, required=True, help="folder of the build, made anew if it is not there")
    parser.add_argument("--tests", nargs="+", help="of pytest; by default the kernel tests, or all for coverage")
    options = parser.parse_args()
    tool = TOOLS[options.tool]
    site = build(tool, options.build)
    log = options.build.resolve() / "tests.log"
    code = test(tool, site, options.tests or tool.tests, log)
    found = of_valgrind(log) if options.tool == "valgrind" else of_sanitizer(log.parent)
    if options.tool == "coverage":
        found = of_coverage(log.parent) + of_gcov(log.parent)
    print(*found, sep="\n")
    print(f"{options.tool}: {log.read_text(errors='replace').splitlines()[-1]}; {len(found)} findings; log: {log}")
    return 1 if code or found else 0


if __name__ == "__main__":
    sys.exit(main())
