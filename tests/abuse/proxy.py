"""A proxy between a client and tallyd that cuts the connection at a chosen place of the conversation.

A cut is (direction, number, part): in the direction of the server at the number-th APPEND of the connection, or in the direction of the client
at the number-th APPENDED; of that frame `part` (0 to 1) of its bytes still get through. So, with their names:

  before      0 <= part < 1 of an APPEND: the server has no whole batch, it must not be in
  sent        all of an APPEND, then the cut: it may be in or not
  committed   nothing of an APPENDED that has come: the batch is in, and its client does not know
  torn        0 < part < 1 of an APPENDED: the same
  acknowledged  all of an APPENDED: the batch is in, and its client knows or not, as the bytes fall

The cut is an orderly end (FIN) or a reset on either side."""
import select
import socket
import struct
import threading
import time

from common import protocol

NAMES = ("before", "sent", "committed", "torn", "acknowledged")


class Cut:
    def __init__(self, random):
        self.name = random.choice(NAMES)
        self.up = self.name in ("before", "sent")
        self.number = random.randint(1, 6)
        self.part = {"before": random.random(), "sent": 1, "committed": 0, "torn": random.uniform(0.05, 0.95), "acknowledged": 1}[self.name]
        self.wait = random.choice([0, 0, 0.001, 0.003]) if self.name == "sent" else 0
        self.reset = [random.random() < 0.5 for _ in range(2)]  # client's side, server's side


class Scanner:
    """Follows the frames of one direction; says how many bytes may pass before the cut, if it is in this direction."""

    def __init__(self, kind, cut):
        self.kind, self.cut = kind, cut
        self.held = bytearray()  # of a header that is not whole
        self.left = 0            # bytes of the frame under way that are still to come
        self.seen = 0            # frames of the kind that have begun
        self.others = 0          # ERROR frames

    def take(self, data):
        """(bytes to pass, is it the cut)"""
        self.held += data
        passed = bytearray()
        while self.held:
            if self.left:
                piece = self.held[:self.left]
                del self.held[:len(piece)]
                self.left -= len(piece)
                passed += piece
                continue
            if len(self.held) < protocol.HEADER.size:
                break
            size, _, kind, _, _, _ = protocol.HEADER.unpack_from(self.held)
            whole = size + protocol.HEADER.size
            self.others += kind == protocol.ERROR
            if kind == self.kind:
                self.seen += 1
                if self.cut and self.seen == self.cut.number:
                    if self.cut.part == 1 and len(self.held) < whole:  # wait for all of it
                        self.seen -= 1
                        return bytes(passed), False
                    return bytes(passed + self.held[:min(int(whole * self.cut.part), whole - (self.cut.part < 1))]), True
            self.left = whole
        return bytes(passed), False


class Link:
    """A proxy for one client at a time. `next_cut` gives the next connection's cut, or None for none."""

    def __init__(self, server_address, next_cut, done):
        self.server_address, self.next_cut, self.done = server_address, next_cut, done
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.address = self.listener.getsockname()
        self.acknowledged = 0  # APPENDED that the server sent on the last connection
        self.refused = 0       # ERROR likewise
        self.idle = threading.Event()
        self.stopping = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def close(self):
        self.stopping = True
        self.listener.close()
        self.thread.join(10)

    def run(self):
        while not self.stopping:
            ready, _, _ = select.select([self.listener], [], [], 0.1) if self.listener.fileno() >= 0 else ([], 0, 0)
            if not ready:
                continue
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.acknowledged = self.refused = 0
            try:
                server = socket.create_connection(self.server_address, 5)
            except OSError:
                client.close()
                self.idle.set()
                continue
            self.serve(client, server, self.next_cut())
            self.idle.set()

    def serve(self, client, server, cut):
        for s in (client, server):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        up = Scanner(protocol.APPEND, cut if cut and cut.up else None)
        down = Scanner(protocol.APPENDED, cut if cut and not cut.up else None)
        ways = {client: (server, up), server: (client, down)}
        was_cut = False
        try:
            while not was_cut and not self.stopping:
                for source in select.select(list(ways), [], [], 0.1)[0]:
                    target, scanner = ways[source]
                    data = source.recv(1 << 18)
                    if not data:
                        return
                    data, was_cut = scanner.take(data)
                    target.sendall(data)
                    if was_cut:
                        break
            if was_cut:
                time.sleep(cut.wait)
                for s, reset in zip((client, server), cut.reset):
                    if reset:
                        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass  # one side is gone: so is the other
        finally:
            self.acknowledged, self.refused = down.seen, down.others
            client.close()
            server.close()
            if was_cut:
                self.done(cut)
