"""The one oracle: acknowledged <= recovered <= sent, each batch whole, once, in order of its producer with no hole.

A producer's batch is made from its name and its sequence, so the store's content says which batches are in it: every row bears the name
as service and the sequence as endpoint (a new text of the catalog for every batch) and as tokens_used."""
import threading
import zlib

from batches import DAY, START, batch
from common import protocol


class Producer:
    """What is known of one producer. Its thread writes; others look when the thread has ended."""

    def __init__(self, name, padding=0, start=START):
        self.name, self.padding, self.start = name, padding, start
        self.sent = 0          # highest sequence of which a byte may have reached the server
        self.acknowledged = 0  # highest sequence that was acknowledged as on the disk, or found after a recovery
        self.duplicates = 0
        self.spice = zlib.crc32(name.encode())

    def rows(self, sequence):
        return 1 + (sequence * 7919 + self.spice) % 24

    def events(self, sequence):
        rows = self.rows(sequence)
        first = self.start + (sequence * 37 + self.spice) % 90 * DAY + sequence % 80000 * 1000000
        values = {"timestamp": [first + i for i in range(rows)], "service_name": self.name, "endpoint": f"b{sequence}",
                  "user_id": f"{self.name}-{sequence % 50}", "tokens_used": sequence, "cost": sequence * 1000 + rows}
        if self.padding:  # bytes that do not compress, made in little time
            piece = zlib.crc32(str(sequence).encode())
            values["metadata"] = '{"x":"' + "".join(f"{piece * k % 2**61:x}" for k in range(1, self.padding // 15 + 2)) + '"}'
        return batch(rows, **values)

    def send(self, connection, sequence):
        self.sent = max(self.sent, sequence)
        return connection.send_append(self.events(sequence), producer=self.name, epoch=1, sequence=sequence)

    def take(self, connection, request, sequence):
        """The acknowledgement of a batch; the mistakes in it, if any."""
        duplicate, rows = connection.wait_append(request)
        self.duplicates += duplicate
        self.acknowledged = max(self.acknowledged, sequence)
        return [] if rows == self.rows(sequence) else [f"{self.name} {sequence}: acknowledged with {rows} rows"]


def found(connection, until):
    """service -> endpoint -> [count, tokens, cost] of everything in the store, or of what is before `until`."""
    names, rows = connection.query(until=until, group_by="service_name,endpoint", aggregates="count,sum:tokens_used,sum:cost")
    content = {}
    for service, endpoint, *numbers in rows:
        content.setdefault(service, {})[endpoint] = numbers
    return content


def expected(producer, sequence):
    rows = producer.rows(sequence)
    units = rows * (sequence * 1000 + rows)
    return [str(rows), str(rows * sequence), f"{units // 10**9}.{units % 10**9:09d}".rstrip("0").rstrip(".")]


def judge(connection, producers, beside=(), until=None):
    """What breaks the oracle, as a list of sentences; what was found counts as acknowledged from now on. `beside`: services of others."""
    wrong, content = [], found(connection, until)
    for producer in producers:
        mark = connection.mark(producer.name)[1]
        if not producer.acknowledged <= mark <= producer.sent:
            wrong.append(f"{producer.name}: acknowledged {producer.acknowledged}, recovered {mark}, sent {producer.sent}")
        batches = content.pop(producer.name, {})
        for sequence in range(1, mark + 1):
            got = batches.pop(f"b{sequence}", None)
            if got is None:
                wrong.append(f"{producer.name}: batch {sequence} is missing, the mark is {mark}")
            elif got[:2] != expected(producer, sequence)[:2] or normal(got[2]) != expected(producer, sequence)[2]:
                wrong.append(f"{producer.name}: batch {sequence} is {got}, not {expected(producer, sequence)}")
        if batches:
            wrong.append(f"{producer.name}: batches beyond the mark {mark}: {sorted(batches)[:5]}")
        producer.acknowledged = mark
    for service in set(content) - set(beside):
        batches = content[service]
        wrong.append(f"events of {service}, which nobody sent: {sorted(map(str, batches))[:5]}")
    return wrong


def normal(decimal):
    return decimal.rstrip("0").rstrip(".") if "." in decimal else decimal


class Writer(threading.Thread):
    """Sends a producer's batches, `window` under way, until the connection is lost, an append is refused, or it is told to stop."""

    def __init__(self, connection, producer, window=8, pause=0):
        super().__init__(daemon=True)
        self.connection, self.producer, self.window, self.pause = connection, producer, window, pause
        self.stopping = threading.Event()
        self.refused = None
        self.wrong = []

    def run(self):
        try:
            self.write()
        except protocol.Refused as refused:
            self.refused = refused
        except (protocol.Lost, OSError):
            pass
        finally:
            self.connection.close()

    def write(self):
        sequence, under_way = self.connection.mark(self.producer.name)[1], []
        while not self.stopping.is_set() or under_way:
            while len(under_way) < self.window and not self.stopping.is_set():
                sequence += 1
                under_way.append((self.producer.send(self.connection, sequence), sequence))
            request, oldest = under_way.pop(0)
            self.wrong += self.producer.take(self.connection, request, oldest)
            if self.pause:
                self.stopping.wait(self.pause)

    def end(self):
        self.stopping.set()
        self.join(60)
        return self.wrong + (["a writer hangs"] if self.is_alive() else [])
