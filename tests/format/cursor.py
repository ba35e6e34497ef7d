"""A place in a sequence of bytes from which little-endian numbers and varints are taken."""
import struct

from lz4_block import Damaged

SIZES = {"u8": "<B", "u16": "<H", "u32": "<I", "u64": "<Q", "i8": "<b", "i16": "<h", "i32": "<i", "i64": "<q"}


class Cursor:
    def __init__(self, data):
        self.data, self.at = data, 0

    def left(self):
        return len(self.data) - self.at

    def take(self, n):
        if n > self.left():
            raise Damaged(f"{n} bytes wanted at {self.at} of {len(self.data)}")
        self.at += n
        return self.data[self.at - n:self.at]

    def rest(self):
        return self.take(self.left())

    def number(self, kind):
        form = SIZES[kind]
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def numbers(self, *kinds):
        return [self.number(k) for k in kinds]

    def varint(self):
        value = 0
        for shift in range(0, 70, 7):
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                if value >= 1 << 64:
                    break
                return value
        raise Damaged("a varint of more than 64 bits")

    def svarint(self):
        u = self.varint()
        return -(u + 1) // 2 if u & 1 else u // 2

    def part(self):
        return Cursor(self.take(self.varint()))

    def end(self, what):
        if self.left():
            raise Damaged(f"{what}: {self.left()} bytes too many")


def expect(ok, what):
    if not ok:
        raise Damaged(what)
