"""Answers of HTTP that are spoilt on their way, for Wire.spoil(): each takes the answer that
the stand-in gave and yields what comes in its place. LOST and ODD say nothing that can be
used; GOOD is the same in another form, ENDING by the connection's end."""

import functools
import gzip

from .wire import Answer, made


def gone(_):
    return []


def cut(answer):
    return [answer.head() + answer.body[:len(answer.body) // 2]]


def header_only(answer):
    return [answer.head()]


def half_a_header(answer):
    return [answer.head()[:40]]


def too_short(answer):
    """Claims more than there is."""
    return [answer.head(length=len(answer.body) + 10) + answer.body]


def too_long(answer):
    """Claims less than there is: the rest would begin the next answer."""
    return [answer.head(length=len(answer.body) - 5) + answer.body]


def endless(answer):
    yield answer.head(length=-1)
    while True:
        yield b"x" * 65536


def endless_chunks(answer):
    yield answer.head(length=-1, Transfer_Encoding="chunked")
    while True:
        yield b"10000\r\n" + b"x" * 65536 + b"\r\n"


def endless_header(answer):
    yield answer.head()[:-2]
    while True:
        yield b"X-More: " + b"x" * 8000 + b"\r\n"


def large_header(answer):
    return [answer.head(X_More="x" * 200000) + answer.body]


@functools.cache
def packed_blanks():
    return gzip.compress(b" " * (64 << 20))


def bomb(answer):
    return [Answer(answer.status, [("Content-Encoding", "gzip")], packed_blanks()).whole()]


def odd_coding(answer):
    return [answer.head(Content_Encoding="zork") + answer.body]


def wrong_chunks(answer):
    return [answer.head(length=-1, Transfer_Encoding="chunked") + b"zz\r\nhello\r\n"]


def no_http(_):
    return [b"SSH-2.0-OpenSSH_9.2\r\n"]


def two_lengths(answer):
    return [answer.head(length=3)[:-2] + b"Content-Length: 4\r\n\r\n" + answer.body]


def switching(_):
    return [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"]


def captive(_):
    """Of a portal, or of a wrong server."""
    return [made(200, "<html>Please log in</html>", [("Content-Type", "text/html")])]


def nul(answer):
    return [answer.head() + b"\0" * len(answer.body)]


def deep(answer):
    return [Answer(answer.status, answer.headers, b"[" * 200000).whole()]


def endless_status(_):
    yield b"HTTP/1.1 200 "
    while True:
        yield b"x" * 65536


def endless_line_in_the_header(answer):
    yield answer.head()[:-2] + b"X-More: "
    while True:
        yield b"x" * 65536


def endless_promises(_):
    while True:
        yield b"HTTP/1.1 100 Continue\r\n\r\n" * 1000


def endless_chunk_extension(answer):
    yield answer.head(length=-1, Transfer_Encoding="chunked") + b"5;x="
    for _ in range(100):
        yield b"x" * 65536


def endless_trailer(answer):
    yield answer.head(length=-1, Transfer_Encoding="chunked") + b"0\r\n"
    while True:
        yield b"X-More: " + b"x" * 8000 + b"\r\n"


def chunk_of_2_to_63(answer):
    return [answer.head(length=-1, Transfer_Encoding="chunked") + b"8000000000000000\r\nx"]


def gigabyte(answer):
    yield answer.head(length=1 << 30)
    while True:
        yield b"x" * 65536


def negative_length(answer):
    return [answer.head(length="-5") + answer.body]


LOST = [gone, cut, header_only, half_a_header, too_short, too_long, endless, endless_chunks,
        endless_header, large_header, bomb, odd_coding, wrong_chunks, no_http, two_lengths,
        switching, captive, nul, deep]
ODD = [endless_status, endless_line_in_the_header, endless_promises, endless_chunk_extension,
       endless_trailer, chunk_of_2_to_63, gigabyte, negative_length]


# Good, only in another form.

def http_1_0(answer):
    return [answer.head("HTTP/1.0", length=-1) + answer.body]


def until_closed(answer):
    return [answer.head(length=-1, Connection="close") + answer.body]


def length_of_2_to_64(answer):
    """Which libcurl takes for none."""
    return [answer.head(length=1 << 64) + answer.body]


def chunks(answer):
    yield answer.head(length=-1, Transfer_Encoding="chunked")
    for byte in answer.body:
        yield b"1;x=y\r\n" + bytes([byte]) + b"\r\n"
    yield b"0\r\nTrailer: yes\r\n\r\n"


def byte_by_byte(answer):
    for byte in answer.whole():
        yield bytes([byte])


def zipped(answer):
    packed = gzip.compress(answer.body)
    return [answer.head(length=len(packed), Content_Encoding="gzip") + packed]


def informed(answer):
    return [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
            + answer.whole()]


ENDING = [http_1_0, until_closed, length_of_2_to_64]  # by the connection's end
GOOD = [*ENDING, chunks, byte_by_byte, zipped, informed]
