"""PostgreSQL's own client library, as much of it as the comparison needs, through ctypes: no driver adds its time to an answer.

A call of a foreign function lets other threads of Python run, so that several connections can be under way at once.
"""
import ctypes
import ctypes.util
import os

COMMAND_OK, TUPLES_OK, COPY_IN = 1, 2, 4


class Failed(Exception):
    pass


def load():
    name = ctypes.util.find_library("pq") or "libpq.so.5"
    library = ctypes.CDLL(name)
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    for function, result, arguments in (
            ("PQconnectdb", pointer, [text]), ("PQstatus", number, [pointer]), ("PQerrorMessage", text, [pointer]), ("PQfinish", None, [pointer]),
            ("PQexec", pointer, [pointer, text]), ("PQresultStatus", number, [pointer]), ("PQntuples", number, [pointer]),
            ("PQnfields", number, [pointer]), ("PQgetvalue", text, [pointer, number, number]), ("PQgetisnull", number, [pointer, number, number]),
            ("PQclear", None, [pointer]), ("PQputCopyData", number, [pointer, text, number]), ("PQputCopyEnd", number, [pointer, text]),
            ("PQgetResult", pointer, [pointer])):
        f = getattr(library, function)
        f.restype, f.argtypes = result, arguments
    return library


class Connection:
    library = None

    def __init__(self, **parameters):
        Connection.library = Connection.library or load()
        self.pq = Connection.library
        words = " ".join(f"{name}='{value}'" for name, value in parameters.items())
        self.handle = self.pq.PQconnectdb(words.encode())
        if self.pq.PQstatus(self.handle) != 0:
            raise Failed(self.pq.PQerrorMessage(self.handle).decode())

    def check(self, result, *wanted):
        if self.pq.PQresultStatus(result) not in wanted:
            self.pq.PQclear(result)
            raise Failed(self.pq.PQerrorMessage(self.handle).decode())
        return result

    def run(self, statement):
        """Sends it and returns when the whole result is in this process; how many rows that is."""
        result = self.check(self.pq.PQexec(self.handle, statement.encode()), COMMAND_OK, TUPLES_OK)
        rows = self.pq.PQntuples(result)
        self.pq.PQclear(result)
        return rows

    def rows(self, statement):
        pq = self.pq
        result = self.check(pq.PQexec(self.handle, statement.encode()), COMMAND_OK, TUPLES_OK)
        fields = range(pq.PQnfields(result))
        out = [[None if pq.PQgetisnull(result, i, k) else pq.PQgetvalue(result, i, k).decode() for k in fields] for i in range(pq.PQntuples(result))]
        pq.PQclear(result)
        return out

    def copy_in(self, statement, data):
        """COPY … FROM STDIN of bytes that are ready, until it is committed."""
        pq = self.pq
        pq.PQclear(self.check(pq.PQexec(self.handle, statement.encode()), COPY_IN))
        if pq.PQputCopyData(self.handle, data, len(data)) != 1 or pq.PQputCopyEnd(self.handle, None) != 1:
            raise Failed(pq.PQerrorMessage(self.handle).decode())
        pq.PQclear(self.check(pq.PQgetResult(self.handle), COMMAND_OK))
        while result := pq.PQgetResult(self.handle):
            pq.PQclear(result)

    def close(self):
        self.pq.PQfinish(self.handle)


def folder_of_programs():
    """Where initdb and postgres are: beside one another, seldom on the path; None if they are not installed."""
    path = os.environ.get("PATH", "").split(os.pathsep)
    for folder in [os.path.dirname(os.path.realpath(os.path.join(p, "postgres"))) for p in path] + ["/usr/lib/postgresql/15/bin"]:
        if all(os.access(os.path.join(folder, name), os.X_OK) for name in ("initdb", "postgres", "psql")):
            return folder
    return None
