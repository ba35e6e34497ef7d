"""The faults that Tally stands, as rows: how often each is tried in CI, and how often once, in the soak.

tests/check.py runs every row's `ci` command as a step; tests/soak runs the `soak` commands. docs/testing.md describes the rows. A command
prints its seed and 'N passed, N failed'; how many cases it tried is in its line 'cases: N', or is the row's own number. In commands
{gcc}, {bin}, {sanitized} and {threads} stand for builds (tests/check.py makes them), {tests} for this folder, {python} for the
interpreter, {seed} for the seed, which is in $TALLY_SEED too. To add a row, add it here; a row whose program is not there is left out."""
import collections
import os

TESTS = os.path.dirname(os.path.abspath(__file__))
PYTHON = "/usr/bin/python3"  # the one that has Debian's python3-xxhash

# id, title, CI's command, the soak's command, and their numbers of cases (None: the program prints it)
Row = collections.namedtuple("Row", "id title ci soak ci_cases soak_cases", defaults=(None, None))


def abuse(program, ci, soak):
    """Options of a program of tests/abuse, twice."""
    command = "{python} {tests}/abuse/" + program + ".py {bin} --seed {seed} "
    return command + ci, command + soak


def faults(row, soak):
    """CI has a fixed seed, as every failure prints the words that replay it: other seeds are the soak's."""
    command = "{gcc}/tests/store_faults --row " + row + " --jobs 2"
    return command, command + " --seed {seed} " + soak


ROWS = [
    Row("R1", "kill -9 of server and clients under load", *abuse("kill", "--rounds 300", "--rounds 1000")),
    Row("R2", "the power is cut at every change of the disk", *faults("R2", "--cases 1000000"), 50000, 1000000),
    Row("R3", "a file system loses its cache", *abuse("lost_cache", "--rounds 50", "--rounds 50")),
    Row("R4", "every bit and every length of every file", *["{gcc}/tests/store_damage"] * 2),
    Row("R5", "every call of the disk fails", *faults("R5", "")),
    Row("R6", "every allocation fails", *faults("R6", "")),
    Row("R7", "faults during a recovery and during maintenance", *faults("R7", "--cases 100000"), 10000, 100000),
    Row("R8", "fuzzing", "{tests}/fuzz/run --build {fuzz} --seconds 20", "{tests}/fuzz/run --build {fuzz} --seconds 1800"),
    Row("R9", "a proxy cuts connections", *abuse("cut", "--cases 2000", "--cases 10000")),
    Row("R10", "crowds of bad peers", *abuse("crowd", "--pairs 5", "--pairs 5")),
    Row("R11", "readers that stop reading", *abuse("stalled", "--megabytes 1000", "--megabytes 1000")),
    Row("R12", "a full disk", *abuse("full_disk", "--rounds 20", "--rounds 20")),
    Row("R13", "every sync fails", *faults("R13", "")),
    Row("R14", "queries during everything, by threads", *["{threads}/tests/store_threads --seconds 60"] * 2),
    Row("R16", "a disk that hangs", *["{python} {tests}/faults/hang/hang.py {bin}/tallyd {gcc}/tests/libhang.so"] * 2),
    Row("R17", "little memory under a mixed load", *abuse("small_memory", "--seconds 60", "--seconds 600")),
    Row("R18", "files of other format versions", *["{gcc}/tests/test_api --filter versions/*"] * 2),
    Row("R19", "random steps against a model (clocks: R15)", "{gcc}/tests/store_property --steps 200000", "{gcc}/tests/store_property --steps 5000000", 200000, 5000000),
    Row("R20", "lines and branches that tests reach", *["{tests}/../tools/coverage --build {coverage}"] * 2),
]


HOURS = ("R8", "R19")  # their larger counts take hours


def words(command, folders, seed):
    """The words of a command with its names filled in."""
    names = dict(folders, tests=TESTS, python=PYTHON, seed=seed)
    return [word.format(**names) for word in command.split()]


def folders(build):
    """The builds that tests/check.py makes, below `build`."""
    gcc = os.path.join(build, "gcc")
    return {"coverage": os.path.join(build, "coverage"), "fuzz": os.path.join(build, "fuzz"), "gcc": gcc, "bin": os.path.join(gcc, "bin"), "sanitized": os.path.join(build, "sanitized"), "threads": os.path.join(build, "threads")}
