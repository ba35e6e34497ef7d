"""The LZ4 block format (lz4.org, lz4_Block_format.md), decoding only: sequences of a token, literals and a match."""


class Damaged(Exception):
    """Bytes that are not what their page in docs/format says."""


def decompress(block, size):
    """The `size` bytes that one LZ4 block stands for."""
    out, i, end = bytearray(), 0, len(block)

    def length(i, n):
        if n == 15:
            while True:
                byte = block[i]
                i, n = i + 1, n + byte
                if byte != 255:
                    break
        return i, n

    try:
        while True:
            token = block[i]
            i, literals = length(i + 1, token >> 4)
            if i + literals > end:
                raise Damaged("LZ4: literals go beyond the block")
            out += block[i:i + literals]
            i += literals
            if i == end:  # the last sequence has no match
                break
            offset = block[i] | block[i + 1] << 8
            i, match = length(i + 2, token & 15)
            match += 4
            if not 0 < offset <= len(out):
                raise Damaged("LZ4: a match begins before the text")
            start = len(out) - offset
            while match > 0:  # a match may overlap what it makes
                piece = out[start:start + match]
                out += piece
                match -= len(piece)
    except IndexError:
        raise Damaged("LZ4: the block ends within a sequence") from None
    if len(out) != size:
        raise Damaged(f"LZ4: {len(out)} bytes where {size} belong")
    return bytes(out)
