"""Change nerva in one place at a time, and see whether the tests notice.

    python tests/mutants.py --area topology --mutants 60 --jobs 2 --out mutants.jsonl

Mutants of the Python are those of Cosmic Ray (pip install cosmic-ray): operators, comparisons, numbers, conditions,
loops, exceptions; those of the C are edits of the same kinds (EDITS). A random sample of an area is drawn from a seed.
Each mutant is tried in a copy of the installed nerva and of the tests; it is killed where a test fails, or the tests
take far longer than without it. Prints each survivor with its change, and a table. docs/reliability.md has the results.
"""

import argparse
import difflib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

ROOT = Path(__file__).resolve().parents[1]
SLOW = "not million and not wide_layer and not large_layers and not killed_at_any"
# Annotations are not computed, so that BitOr has no mutants; one other operator stands for all.
OPERATORS = (
    "AddNot", "ExceptionReplacer", "NumberReplacer", "ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue", "ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ZeroIterationForLoop",
    "ReplaceUnaryOperator_Delete_Not", "ReplaceUnaryOperator_Delete_USub", "ReplaceBinaryOperator_Add_Sub",
    "ReplaceBinaryOperator_Sub_Add", "ReplaceBinaryOperator_Mul_Add", "ReplaceBinaryOperator_Div_Mul",
    "ReplaceBinaryOperator_FloorDiv_Mul", "ReplaceBinaryOperator_Mod_Mul", "ReplaceBinaryOperator_Pow_Mul",
    "ReplaceComparisonOperator_Eq_NotEq", "ReplaceComparisonOperator_NotEq_Eq", "ReplaceComparisonOperator_Lt_LtE",
    "ReplaceComparisonOperator_LtE_Lt", "ReplaceComparisonOperator_Gt_GtE", "ReplaceComparisonOperator_GtE_Gt",
    "ReplaceComparisonOperator_Lt_Gt", "ReplaceComparisonOperator_Gt_Lt", "ReplaceComparisonOperator_Is_IsNot",
    "ReplaceComparisonOperator_IsNot_Is",
)  # fmt: skip
# What of the C becomes what, in code outside of comments, directives and texts.
EDITS = [
    (r" < ", " <= "),
    (r" > ", " >= "),
    (r" == ", " != "),
    (r" != ", " == "),
    (r" && ", " || "),
    (r" \|\| ", " && "),
    (r" \+ ", " - "),
    (r" - ", " + "),
    (r" \* ", " + "),
    (r" \+= ", " = "),
    (r"\b0\b", "1"),
    (r"\b1\b", "2"),
    (r"\? ([^:?;]+) : ([^:?;]+);", r"? \2 : \1;"),
    (r"^( +)[\w.>\-\[\]()]+\([^;{}]*\);$", r"\1;"),
]


@dataclass(frozen=True)
class Area:
    """Files below nerva that are changed, and the tests that should notice."""

    files: tuple[str, ...]
    tests: tuple[str, ...]


AREAS = {
    "topology": Area(("topology/*.py",), ("topology",)),
    "optimizers": Area(
        ("optimizers/*.py",), ("optimizers", "parity/test_optimizers.py", "models/test_plan_clip_norm.py")
    ),
    "losses": Area(("losses/*.py",), ("losses", "models/test_plan_losses.py")),
    "checkpoints": Area(
        (
            "training/checkpoints.py",
            "training/run_state.py",
            "saving/model_file.py",
            "saving/weights.py",
            "saving/header.py",
        ),
        ("training/test_checkpoints.py", "training/test_checkpoint_ages.py", "training/test_run.py", "saving"),
    ),
    "step": Area(
        ("models/plan.py", "training/step.py", "training/compiled.py"),
        ("models", "training/test_step.py", "training/test_fit.py", "training/test_profiling.py"),
    ),
    "step in C": Area(
        tuple(
            f"_kernels/native/plan{name}.c"
            for name in ("", "_operations", "_update", "_statistics", "_sparse", "_clip")
        ),
        ("_kernels/test_plan*.py", "models/test_plan*.py"),
    ),
}


@dataclass(frozen=True)
class Mutant:
    """A file below nerva, its content with one change, and what was done."""

    area: str
    file: str
    content: str
    how: str


def python_mutants(area: str, file: str, text: str) -> Iterator[Mutant]:
    """Yield all changes of a Python file."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    for name in OPERATORS:
        operator = get_operator(f"core/{name}")()
        for occurrence in range(10_000):
            changed = mutate_code(text, operator, occurrence)
            if changed is None:
                break
            yield Mutant(area, file, changed, name)


def c_mutants(area: str, file: str, text: str) -> Iterator[Mutant]:
    """Yield all changes of a C file."""
    lines = text.splitlines(keepends=True)
    within = False  # a comment
    for i, line in enumerate(lines):
        starts, ends = "/*" in line, "*/" in line
        code = line if not (starts or within) else line[: line.index("/*")] if starts and not within else ""
        within = (within or starts) and not ends
        if code.lstrip().startswith("#") or '"' in code:
            continue
        for pattern, replacement in EDITS:
            for found in re.finditer(pattern, code, re.MULTILINE):
                changed = line[: found.start()] + found.expand(replacement) + line[found.end() :]
                yield Mutant(area, file, "".join([*lines[:i], changed, *lines[i + 1 :]]), f"{pattern} at {i + 1}")


def drawn(area: str, count: int, rng: random.Random, source: Path) -> list[Mutant]:
    """Return a random sample of the mutants of an area."""
    found: list[Mutant] = []
    for pattern in AREAS[area].files:
        for path in sorted(source.glob(pattern)):
            make = c_mutants if path.suffix == ".c" else python_mutants
            found += make(area, str(path.relative_to(source)), path.read_text())
    print(f"{area}: {len(found)} mutants, of which {min(count, len(found))} are tried", flush=True)
    return rng.sample(found, min(count, len(found)))


class Workspace:
    """A copy of nerva and its tests, in which one mutant after the other is tried."""

    def __init__(self, folder: Path, compiled: bool) -> None:
        import nerva

        self.folder = folder
        for name in ("tests", "pyproject.toml", "bench", "docs", "README.md", "meson.build", "meson.options"):
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, folder / name)
        self.package = folder / "nerva"
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(nerva.__file__).parent, self.package, ignore=ignored)
        shutil.copytree(
            ROOT / "nerva", self.package, ignore=shutil.ignore_patterns("__pycache__", "*.so"), dirs_exist_ok=True
        )
        if compiled:
            command = ["meson", "setup", "build", ".", "-Doptimization=1"]
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
            assert self.compile()

    def compile(self) -> bool:
        """Build the kernels; return whether they compile."""
        done = subprocess.run(["ninja", "-C", "build"], cwd=self.folder, capture_output=True)
        for path in (self.folder / "build").rglob("*.so"):
            shutil.copy(path, self.package / "_kernels")
        return done.returncode == 0

    def passes(self, area: str, file: str, limit: float) -> tuple[bool, str]:
        """Return whether the tests of an area pass within so many seconds, and what they say last."""
        tests = [path for pattern in AREAS[area].tests for path in sorted((self.folder / "tests").glob(pattern))]
        files = [own for path in tests for own in (sorted(path.rglob("test_*.py")) if path.is_dir() else [path])]
        name = Path(file).stem.rstrip("s")
        files.sort(key=lambda path: name not in path.stem)  # those of the same name first
        environment = os.environ | {"PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1", "CI": "true"}
        command = [
            sys.executable,
            "-P",
            "-m",
            "pytest",
            "-x",
            "-q",
            "-p",
            "no:cacheprovider",
            "-k",
            SLOW,
            *map(str, files),
        ]
        process = subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.communicate()
            return False, f"longer than {limit:.0f} s"
        last = [line for line in output.splitlines() if line.startswith(("FAILED", "ERROR", "E  "))]
        return process.returncode == 0, last[-1] if last else output.strip().splitlines()[-1]

    def attempt(self, mutant: Mutant, limit: float) -> tuple[str, str]:
        """Return "killed", "survived" or, where it does not compile, "invalid"; and how."""
        path = self.package / mutant.file
        before = path.read_text()
        path.write_text(mutant.content)
        try:
            if path.suffix == ".c" and not self.compile():
                return "invalid", "does not compile"
            passed, last = self.passes(mutant.area, mutant.file, limit)
            return ("survived" if passed else "killed"), last
        finally:
            path.write_text(before)


def change(mutant: Mutant, package: Path) -> str:
    """Return the lines that a mutant has changed."""
    before, after = (package / mutant.file).read_text().splitlines(), mutant.content.splitlines()
    return "\n".join(
        line for line in difflib.unified_diff(before, after, n=0, lineterm="") if line[:3] not in ("---", "+++")
    )


def try_area(area: str, mutants: list[Mutant], spaces: list[Workspace], out: Path | None) -> Counter[str]:
    """Try mutants side by side; return how many were killed, survived or do not compile."""
    free: Queue[Workspace] = Queue()
    began = time.monotonic()
    if any(mutant.file.endswith(".c") for mutant in mutants):
        assert spaces[0].compile()
    passed, last = spaces[0].passes(area, "", 3600)
    assert passed, f"{area}: the tests fail without a mutant: {last}"
    limit = 4 * (time.monotonic() - began) + 30
    for space in spaces:
        free.put(space)

    def attempt(mutant: Mutant) -> str:
        space = free.get()
        try:
            result, last = space.attempt(mutant, limit)
        finally:
            free.put(space)
        row = {"area": area, "file": mutant.file, "how": mutant.how, "result": result, "last": last[:200]}
        row["change"] = change(mutant, ROOT / "nerva")
        if out is not None:
            with out.open("a") as file:
                file.write(json.dumps(row) + "\n")
        if result == "survived":
            print(f"survived: {mutant.file}, {mutant.how}\n{row['change']}", flush=True)
        return result

    with ThreadPoolExecutor(len(spaces)) as pool:
        return Counter(pool.map(attempt, mutants))


def main() -> int:
    """Run the command line, and return the exit code: 1 where fewer than 85 % are killed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--area", choices=AREAS, action="append", help="all")
    parser.add_argument("--mutants", type=int, default=60, help="of an area, at most so many")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a file of JSON lines, one for each mutant")
    options = parser.parse_args()
    areas = options.area or [*AREAS]
    rows = []
    with tempfile.TemporaryDirectory() as parent:
        folders = [Path(parent) / f"{i}" for i in range(options.jobs)]
        for folder in folders:
            folder.mkdir()
        spaces = [Workspace(folder, "step in C" in areas) for folder in folders]
        for area in areas:
            mutants = drawn(area, options.mutants, random.Random(f"{options.seed} {area}"), ROOT / "nerva")
            found = try_area(area, mutants, spaces, options.out)
            valid = found["killed"] + found["survived"]
            rows.append((area, valid, found["killed"]))
    print("| area | mutants | killed | |\n|---|---:|---:|---:|")
    for area, valid, killed in [*rows, ("all", sum(row[1] for row in rows), sum(row[2] for row in rows))]:
        print(f"| {area} | {valid} | {killed} | {killed / max(valid, 1):.0%} |")
    return 0 if all(killed >= 0.85 * valid for _, valid, killed in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
