"""Installs Tally into a prefix, builds docs/examples against it by pkg-config and by CMake, shared and static, and runs it.

usage: embed.py BUILD_DIR
"""
import os
import subprocess
import sys

from harness import Counter, temporary

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXPECTED = "ann\t2\t2400\t0.0048\nbob\t2\t2400\t0.0048\n"


def main():
    c, build = Counter(), sys.argv[1]

    def run(what, *command, **options):
        done = subprocess.run(command, capture_output=True, text=True, **options)
        c.equal(done.returncode, 0, f"{what}: {done.stdout[-500:]}{done.stderr[-500:]}")
        return done.stdout

    with temporary() as folder:
        prefix, example = os.path.join(folder, "prefix"), os.path.join(ROOT, "docs/examples")
        run("install", "cmake", "--install", build, "--prefix", prefix)
        for path in ("bin/tally", "bin/tallyd", "include/tally.h", "lib/libtally.a", "lib/libtally.so", "lib/pkgconfig/tally.pc",
                     "lib/cmake/tally/tally-config.cmake"):
            c.check(os.path.exists(os.path.join(prefix, path)), f"{path} is installed")
        environment = dict(os.environ, PKG_CONFIG_PATH=os.path.join(prefix, "lib/pkgconfig"), LD_LIBRARY_PATH=os.path.join(prefix, "lib"))
        programs = []
        for name, options, extra in (("shared", [], []), ("static", ["--static"], ["-static"])):
            flags = run("pkg-config", "pkg-config", "--cflags", "--libs", *options, "tally", env=environment).split()
            program = os.path.join(folder, f"embed-{name}")
            run(f"pkg-config, {name}", "cc", "-std=c11", "-Wall", "-Wextra", "-Werror", *extra, os.path.join(example, "embed.c"), "-o", program, *flags)
            programs.append(program)
        run("a C++ program includes tally.h", "c++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c++",
            "-I", os.path.join(prefix, "include"), os.path.join(prefix, "include/tally.h"))
        run("CMake", "cmake", "-S", example, "-B", os.path.join(folder, "b"), f"-DCMAKE_PREFIX_PATH={prefix}")
        run("CMake build", "cmake", "--build", os.path.join(folder, "b"))
        programs += [os.path.join(folder, "b", "embed"), os.path.join(folder, "b", "embed_static")]
        for i, program in enumerate(programs):
            store = os.path.join(folder, f"store-{i}")
            c.equal(run(program, program, store, env=environment), "batch 1: is in\nbatch 2: is in\n" + EXPECTED, f"{program} runs")
            c.equal(run(program, program, store, env=environment), "batch 1: was in already\nbatch 2: was in already\n" + EXPECTED,
                    f"{program} runs again: each batch counts once")
    c.end()


main()
