"""Builds Tally in every way that counts, runs every lint and test, and adds the results up.

Called by tools/check. Each step prints its own result; its output goes to build/check/<step>.log and is shown when it fails. The sum
at the end counts the cases that the test runners themselves report; a step that reports none counts as one.
"""
import argparse
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import rows  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build", "check")
SYSTEM_PYTHON = rows.PYTHON


def cmake(name, *options):
    folder = os.path.join(BUILD, name)
    strict = "-DCMAKE_C_FLAGS=-Werror"
    return [["cmake", "-G", "Ninja", "-S", ROOT, "-B", folder, strict, *options], ["cmake", "--build", folder]]


GCC, SAN, TSAN = (os.path.join(BUILD, n) for n in ("gcc", "sanitized", "threads"))
BIN = os.path.join(GCC, "bin")
LIBRARY = os.path.join(GCC, "engine", "libtally.so")
DATA = os.path.join(os.path.dirname(ROOT), "shared", "data")  # the real data sets, where they are beside the checkout


def unit(folder, *only):
    found = []
    tests = os.path.join(folder, "tests")
    for name in sorted(os.listdir(tests)) if os.path.isdir(tests) else []:
        if name.startswith("test_") and os.access(os.path.join(tests, name), os.X_OK) and (not only or name in only):
            found.append([os.path.join(tests, name), "--jobs", "2"])
    return found


def python(script, *args):
    return [[SYSTEM_PYTHON, os.path.join(ROOT, "tests", script), *args]]


# name, commands (or a function that gives them when its turn comes), is it long
STEPS = [
    ("lint: rooms", lambda: [[os.path.join(ROOT, "tools/lint/rooms")]], False),
    ("lint: format", lambda: [[os.path.join(ROOT, "tools/lint/format")]], False),
    ("build: gcc, release", lambda: cmake("gcc", "-DCMAKE_C_COMPILER=gcc", "-DTALLY_TESTS=ON", "-DTALLY_BENCH=ON"), False),
    ("lint: symbols", lambda: [[os.path.join(ROOT, "tools/lint/symbols"), GCC]], False),
    ("build: clang, sanitized", lambda: cmake("sanitized", "-DCMAKE_C_COMPILER=clang", "-DCMAKE_BUILD_TYPE=Debug", "-DTALLY_TESTS=ON",
                                              "-DTALLY_SANITIZE=address,undefined"), False),
    ("build: gcc, threads", lambda: cmake("threads", "-DCMAKE_C_COMPILER=gcc", "-DCMAKE_BUILD_TYPE=RelWithDebInfo", "-DTALLY_TESTS=ON",
                                          "-DTALLY_SANITIZE=thread"), False),
    ("unit tests, release", lambda: unit(GCC), False),
    ("unit tests, sanitized", lambda: unit(SAN), False),
    ("instructions of the hot paths", lambda: [[os.path.join(ROOT, "bench/instructions"), GCC]], False),
    ("formats: Python readers", lambda: python("format/test_formats.py", GCC), False),
    ("differential", lambda: python("differential/run.py", LIBRARY, "--queries", "10000"), False),
    ("rollups", lambda: python("differential/rollups.py", LIBRARY, "--queries", "10000"), False),
    ("facts", lambda: python("program/facts.py", BIN), False),
    ("faults, sanitized, one case in 120 of each row", lambda: [[os.path.join(SAN, "tests", "store_faults"), "--share", "120"]], False),
    ("kill during jobs", lambda: python("program/jobs.py", BIN, "--rounds", "10"), False),
    ("backup", lambda: python("program/backup.py", BIN), False),
    ("damage, sanitized", lambda: python("program/damage.py", os.path.join(SAN, "bin")), False),
    ("protocol client", lambda: python("protocol/test_client.py", os.path.join(BIN, "tallyd")), False),
    ("time zones", lambda: python("protocol/test_zones.py", os.path.join(GCC, "tests", "zone_periods")), False),
    ("server", lambda: python("server/test_server.py", os.path.join(BIN, "tallyd")), False),
    ("tool", lambda: python("tool/test_tool.py", BIN), False),
    ("tool: ingest", lambda: python("tool/test_ingest.py", BIN), False),
    ("comparison", lambda: python("bench/test_comparison.py", GCC), False),
    ("embedding", lambda: python("program/embed.py", GCC), False),
]
SEED = os.environ.get("TALLY_SEED", "20240101")
STEPS += [(f"{row.id}: {row.title}", lambda row=row: [["env", "TALLY_SEED=" + SEED, *rows.words(row.ci, rows.folders(BUILD), SEED)]], True) for row in rows.ROWS]

RESULTS = (
    re.compile(r"Tested: \d+ \| Passing: (\d+) \| Failing: (\d+) \| Crashing: (\d+)"),
    re.compile(r"^(?:\w+: )?(\d+) passed, (\d+) failed", re.M),
)


def count(output):
    passed = failed = 0
    for m in RESULTS[0].finditer(output):
        passed += int(m.group(1))
        failed += int(m.group(2)) + int(m.group(3))
    for m in RESULTS[1].finditer(output):
        passed += int(m.group(1))
        failed += int(m.group(2))
    return passed, failed


def run_step(name, commands):
    log = os.path.join(BUILD, re.sub(r"[^a-z0-9]+", "-", name) + ".log")
    passed = failed = 0
    output = ""
    environment = dict(os.environ, TALLY_DATA=os.environ.get("TALLY_DATA", DATA), ASAN_OPTIONS="detect_leaks=1:abort_on_error=1", UBSAN_OPTIONS="print_stacktrace=1")
    for command in commands:
        done = subprocess.run(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", timeout=2400)
        output += "$ " + " ".join(command) + "\n" + done.stdout
        p, f = count(done.stdout)
        if done.returncode != 0 and f == 0:
            f = 1
        if done.returncode == 0 and p + f == 0 and command is commands[-1] and not re.search(r"^skipped: ", done.stdout, re.M):
            p = 1
        passed, failed = passed + p, failed + f
        if done.returncode != 0 and name.startswith("build"):
            break
    with open(log, "w") as f:
        f.write(output)
    return passed, failed, output


def arguments():
    names = [name for name, _, _ in STEPS]
    parser = argparse.ArgumentParser(prog="tools/check", description="Builds Tally in every way that counts, and runs every lint and test.",
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="example: tools/check lint build \"unit tests\"\nsteps:\n  " + "\n  ".join(names))
    parser.add_argument("--quick", action="store_true", help="without the long tests")
    parser.add_argument("only", nargs="*", metavar="NAME", help="only the steps whose name contains one of these")
    a = parser.parse_args()
    for name in a.only:
        if not any(name in step for step in names):
            parser.error(f"no step's name contains \"{name}\": tools/check --help lists them")
    return a.quick, a.only


def main():
    quick, only = arguments()
    os.makedirs(BUILD, exist_ok=True)
    passed = failed = 0
    start = time.time()
    for name, commands, is_long in STEPS:
        if (quick and is_long) or (only and not any(o in name for o in only)):
            continue
        began = time.time()
        try:
            p, f, output = run_step(name, commands())
        except subprocess.TimeoutExpired as e:
            p, f, output = 0, 1, f"{e}\n{(e.stdout or b'').decode(errors='replace') if isinstance(e.stdout, bytes) else e.stdout}"
        passed, failed = passed + p, failed + f
        notes = sorted(set(re.findall(r"^skipped: .*$", output, re.M)))
        print(f"{'ok  ' if not f else 'FAIL'} {name}: {p} passed, {f} failed ({time.time() - began:.0f} s)", flush=True)
        for note in notes:
            print("     " + note)
        if f:
            lines = output.splitlines()
            said = [line for i, line in enumerate(lines)  # these may be far from the end; a sanitizer's has its stack below it
                    if re.search(r"FAIL|Assertion|ERROR: |CRASH", line) or any("Sanitizer: " in above for above in lines[max(0, i - 12):i])]
            print("\n".join("     " + line for line in said[:40] + ["..."] + lines[-60:]), flush=True)
            if name.startswith("build"):
                break
    print(f"tools/check: {time.time() - start:.0f} s")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
