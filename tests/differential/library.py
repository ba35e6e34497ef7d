"""libtally through ctypes: as much of <tally.h> as the tests need."""
import ctypes as c
import datetime
import os
import zoneinfo

COLUMNS = ["timestamp", "user_id", "service_name", "endpoint", "method", "request_size", "response_size", "duration_ms",
           "status_code", "tokens_used", "cost", "metadata"]
TEXTS, INTS = COLUMNS[1:5], COLUMNS[5:10]
NO_LIMIT = 2**64 - 1
ROW = 1


class Text(c.Structure):
    _fields_ = [("data", c.c_void_p), ("size", c.c_size_t)]


class Error(c.Structure):
    _fields_ = [("code", c.c_int), ("column", c.c_int), ("row", c.c_int64), ("sequence", c.c_uint64), ("text", c.c_char * 496)]


class Event(c.Structure):
    _fields_ = [("timestamp", c.c_int64), *[(t, Text) for t in TEXTS], *[(i, c.c_int32) for i in INTS], ("cost", c.c_int64),
                ("metadata", Text), ("present", c.c_uint32)]


class Period(c.Structure):
    _fields_ = [("start", c.c_int64), ("end", c.c_int64), ("offset", c.c_int32)]


ZONE = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_char_p, c.c_int64, c.POINTER(Period))


class Options(c.Structure):
    _fields_ = [("memory", c.c_uint64), ("create", c.c_bool), ("read_only", c.c_bool), ("manual", c.c_bool),
                ("max_future", c.c_int64), ("flush_age", c.c_int64), ("query_timeout", c.c_uint64), ("zone", ZONE),
                ("zone_arg", c.c_void_p)]


class AppendOptions(c.Structure):
    _fields_ = [("producer", c.c_char_p), ("epoch", c.c_uint64), ("sequence", c.c_uint64), ("has_fingerprint", c.c_bool),
                ("fingerprint", c.c_uint8 * 16), ("durability", c.c_int)]


class Query(c.Structure):
    _fields_ = [("from_", c.c_char_p), ("to", c.c_char_p), ("where", c.POINTER(c.c_char_p)), ("where_count", c.c_size_t),
                ("group_by", c.c_char_p), ("bucket", c.c_char_p), ("tz", c.c_char_p), ("aggregates", c.c_char_p),
                ("order_by", c.c_char_p), ("limit", c.c_uint64), ("flags", c.c_uint32), ("timeout", c.c_uint64)]


class Scan(c.Structure):
    _fields_ = [("from_", c.c_char_p), ("to", c.c_char_p), ("where", c.POINTER(c.c_char_p)), ("where_count", c.c_size_t),
                ("tz", c.c_char_p), ("columns", c.c_char_p), ("limit", c.c_uint64), ("flags", c.c_uint32), ("timeout", c.c_uint64)]


class ResultColumn(c.Structure):
    _fields_ = [("name", c.c_char_p), ("type", c.c_int)]


class TallyError(Exception):
    def __init__(self, error):
        super().__init__(error.text.decode(errors="replace"))
        self.code = error.code


def zone_period(_arg, name, at, period):
    """A zone hook on Python's zoneinfo: finds the bounds of the period of constant offset around `at` by bisection."""
    try:
        zone = zoneinfo.ZoneInfo(name.decode())
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return -21

    def offset(t):
        moment = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(seconds=t)
        return int(moment.astimezone(zone).utcoffset().total_seconds())

    low, high = -86400 * 366 * 1000, 86400 * 366 * 8000  # a bucket of many years begins long before 1970
    at = min(max(at, low), high)
    here, step = offset(at), 86400 * 30
    bounds = []
    for sign in (-1, 1):
        far = at
        for _ in range(24):  # two years: longer periods may be cut, a period need not be maximal
            nxt = far + sign * step
            if not low < nxt < high or offset(nxt) != here:
                break
            far = nxt
        a, b = far, min(max(far + sign * step, low), high)
        if offset(b) == here:
            bounds.append(b if low < b < high else -2**63 if sign < 0 else 2**63 - 1)
            continue
        while abs(b - a) > 1:
            m = (a + b) // 2
            if offset(m) == here:
                a = m
            else:
                b = m
        bounds.append(a if sign < 0 else b)
    period.contents.start, period.contents.end, period.contents.offset = bounds[0], bounds[1], here
    return 0


class Library:
    def __init__(self, path):
        self.lib = lib = c.CDLL(os.path.abspath(path))
        lib.tally_batch_new.restype = c.c_void_p
        for name in ("tally_batch_free", "tally_batch_reset", "tally_cursor_close"):
            getattr(lib, name).argtypes = [c.c_void_p]
            getattr(lib, name).restype = None
        lib.tally_batch_add.argtypes = [c.c_void_p, c.POINTER(Event), c.POINTER(Error)]
        lib.tally_batch_finish.argtypes = [c.c_void_p, c.POINTER(c.c_void_p), c.POINTER(c.c_size_t), c.POINTER(Error)]
        lib.tally_open.argtypes = [c.c_char_p, c.POINTER(Options), c.POINTER(c.c_void_p), c.POINTER(Error)]
        for name in ("tally_close", "tally_flush"):
            getattr(lib, name).argtypes = [c.c_void_p, c.POINTER(Error)]
        lib.tally_append.argtypes = [c.c_void_p, c.c_void_p, c.c_size_t, c.c_void_p, c.c_void_p, c.POINTER(Error)]
        lib.tally_query_open.argtypes = [c.c_void_p, c.POINTER(Query), c.POINTER(c.c_void_p), c.POINTER(Error)]
        lib.tally_scan_open.argtypes = [c.c_void_p, c.POINTER(Scan), c.POINTER(c.c_void_p), c.POINTER(Error)]
        lib.tally_cursor_columns.argtypes = [c.c_void_p]
        lib.tally_cursor_columns.restype = c.c_size_t
        lib.tally_cursor_column.argtypes = [c.c_void_p, c.c_size_t]
        lib.tally_cursor_column.restype = ResultColumn
        lib.tally_cursor_next.argtypes = [c.c_void_p, c.POINTER(Error)]
        lib.tally_cursor_cell.argtypes = [c.c_void_p, c.c_size_t]
        lib.tally_cursor_cell.restype = Text


class Store:
    """A store in this process. Rows are dicts by column name: None is NULL, cost an int in units of 10^-9."""

    def __init__(self, library, path):
        self.lib, self.zone = library.lib, ZONE(zone_period)
        self.store, error = c.c_void_p(), Error()
        options = Options(memory=64 << 20, create=True, zone=self.zone)
        if self.lib.tally_open(path.encode(), options, self.store, error):
            raise TallyError(error)
        self.batch = self.lib.tally_batch_new()

    def append(self, rows, options=None):
        """Appends the rows as one batch; `options`: an AppendOptions, or None for no producer."""
        keep, error = [], Error()
        self.lib.tally_batch_reset(self.batch)

        def text(value):
            if value is None:
                return Text(None, 0)
            raw = value.encode() if isinstance(value, str) else value
            keep.append(c.create_string_buffer(raw, len(raw) + 1))
            return Text(c.addressof(keep[-1]), len(raw))

        for row in rows:
            e = Event(timestamp=row["timestamp"], metadata=text(row["metadata"]))
            for name in TEXTS:
                setattr(e, name, text(row[name]))
            for i, name in enumerate(COLUMNS):
                if name in INTS or name == "cost":
                    if row[name] is not None:
                        setattr(e, name, row[name])
                        e.present |= 1 << i
            if self.lib.tally_batch_add(self.batch, e, error):
                raise TallyError(error)
        data, size = c.c_void_p(), c.c_size_t()
        if self.lib.tally_batch_finish(self.batch, data, size, error):
            raise TallyError(error)
        if self.lib.tally_append(self.store, data, size, c.byref(options) if options else None, None, error):
            raise TallyError(error)

    def flush(self):
        error = Error()
        if self.lib.tally_flush(self.store, error):
            raise TallyError(error)

    def _pull(self, opener, request):
        cursor, error = c.c_void_p(), Error()
        if opener(self.store, request, cursor, error):
            raise TallyError(error)
        try:
            n = self.lib.tally_cursor_columns(cursor)
            header = [self.lib.tally_cursor_column(cursor, i).name.decode() for i in range(n)]
            rows = []
            while True:
                result = self.lib.tally_cursor_next(cursor, error)
                if result == 0:
                    return header, rows
                if result != ROW:
                    raise TallyError(error)
                row = []
                for i in range(n):
                    cell = self.lib.tally_cursor_cell(cursor, i)
                    row.append(c.string_at(cell.data, cell.size).decode() if cell.data else None)
                rows.append(tuple(row))
        finally:
            self.lib.tally_cursor_close(cursor)

    @staticmethod
    def _fill(request, q, names):
        where = [w.encode() for w in q.get("where", [])]
        if where:
            request.where = (c.c_char_p * len(where))(*where)
            request.where_count = len(where)
        for name in names:
            if q.get(name) is not None:
                setattr(request, "from_" if name == "from" else name, q[name].encode())
        request.limit = q["limit"] if q.get("limit") is not None else NO_LIMIT
        return request

    def query(self, q):
        flags = 1 if q.get("fill") else 0
        flags |= 8 if q.get("no_rollups") else 0
        flags |= 4 if q.get("explain") else 0
        request = self._fill(Query(flags=flags), q, ("from", "to", "group_by", "bucket", "tz", "aggregates", "order_by"))
        return self._pull(self.lib.tally_query_open, request)

    def events(self, q):
        flags = {"desc": 16, "none": 32}.get(q.get("order"), 0)
        return self._pull(self.lib.tally_scan_open, self._fill(Scan(flags=flags), q, ("from", "to", "tz", "columns")))

    def close(self):
        error = Error()
        self.lib.tally_batch_free(self.batch)
        if self.lib.tally_close(self.store, error):
            raise TallyError(error)
