"""The command line: what it prints, its exit codes, how it stops."""

import argparse
import contextlib
import dataclasses
import io
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from growth import assert_linear, fill
from test_transport import refusing_socket, udp_socket

from sipstack import StreamParser, parse
from sipstack._printable import line_at, pointed, visible
from sipstack.cli import _serve, main
from sipstack.cli._ping import Target, target

OPTIONS = (
    b"OPTIONS sip:probe@127.0.0.1:5060 SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 127.0.0.1:5999;branch=z9hG4bK1;rport\r\n"
    b"Max-Forwards: 70\r\n"
    b'From: "The Probe" <sip:probe@127.0.0.1>;tag=a1\r\n'
    b"To: <sip:probe@127.0.0.1:5060>\r\n"
    b"Call-ID: c1@127.0.0.1\r\n"
    b"CSeq: 7 OPTIONS\r\n"
    b"X-Note: hello\r\n"
    b"Content-Length: 0\r\n\r\n"
)


class TestText:
    @pytest.mark.parametrize(
        ("data", "shown"),
        [
            (b"plain", "plain"),
            (b"\x1b[31mred\x07", r"\x1b[31mred\x07"),
            (b"a\tb\r\n", r"a\tb\r\n"),
            (b"\xff\xc3\xa9", r"\xffé"),
            ("\u202eabc", r"\u202eabc"),
            ("\U000e0001", r"\U000e0001"),
        ],
    )
    def test_visible(self, data: bytes | str, shown: str) -> None:
        assert visible(data) == shown

    def test_line_at(self) -> None:
        data = b"one\r\ntwo\nthree"
        assert [line_at(data, offset)[0] for offset in (0, 3, 4, 5, 8, 9, 14, 99)] == [1, 1, 1, 2, 2, 3, 3, 3]
        assert line_at(data, 4) == (1, 0, b"one")
        assert line_at(data, 9) == (3, 9, b"three")

    @pytest.mark.parametrize(
        ("data", "offset", "caret"),
        [
            (b"abc", 0, 0),
            (b"abc", 3, 3),
            (b"a\x00c", 2, 5),  # the NUL takes four columns
            ("é中x".encode(), 5, 3),  # two bytes in one column, three in two
            ("e\u0301x".encode(), 3, 1),  # a combining mark takes none
            ("é".encode(), 1, 0),  # inside a character: under it
        ],
    )
    def test_caret(self, data: bytes, offset: int, caret: int) -> None:
        text, below = pointed(data, offset)
        assert text == visible(data)
        assert below == " " * caret + "^"

    def test_long_line_is_cut_around_the_place(self) -> None:
        text, below = pointed(b"a" * 5000 + b"!" + b"b" * 5000, 5000, width=60)
        assert len(text) <= 66
        assert text[len(below) - 1] == "!"
        assert text.startswith("...")
        assert text.endswith("...")

    def test_what_is_far_away_does_not_count(self) -> None:
        data = b"\xff" * 100_000
        text, below = pointed(data, 50_000)
        assert text == f"...{visible(data[:16])}{visible(data[:8])}..."
        assert below == " " * (3 + 64) + "^"


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    def give(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return give


class TestParse:
    def test_every_header_and_what_it_was_understood_as(self, tmp_path: Path, capsys) -> None:
        file = tmp_path / "options.sip"
        file.write_bytes(OPTIONS)
        assert main(["parse", str(file)]) == 0
        output = capsys.readouterr().out
        for name in ("Via", "Max-Forwards", "From", "To", "Call-ID", "CSeq", "X-Note", "Content-Length"):
            assert f"\n{name}: " in output
        assert "SipUri host=127.0.0.1 user=probe port=5060 scheme=sip" in output
        assert re.search(r"    Via .*transport=UDP.* branch=z9hG4bK1", output)
        assert 'display_name="The Probe"' in output
        assert "    CSeq num=7 method=OPTIONS" in output

    def test_standard_input(self, stdin, capsys) -> None:
        stdin(OPTIONS)
        assert main(["parse", "-"]) == 0
        assert capsys.readouterr().out.startswith("request OPTIONS")

    def test_response(self, stdin, capsys) -> None:
        stdin(bytes(parse(OPTIONS).reply(200)))
        assert main(["parse", "-"]) == 0
        assert capsys.readouterr().out.startswith("response 200 OK")

    def test_body_is_shown_and_made_harmless(self, stdin, capsys) -> None:
        body = b"Content-Type: text/plain\r\nContent-Length: 9\r\n\r\nv=0\r\n\x1b[2J"
        stdin(OPTIONS.replace(b"Content-Length: 0\r\n\r\n", body))
        assert main(["parse", "-"]) == 0
        output = capsys.readouterr().out
        assert "body: 9 bytes\n    v=0\n    \\x1b[2J\n" in output

    def test_bad_message_gets_a_caret_under_the_byte(self, stdin, capsys) -> None:
        data = OPTIONS.replace(b"X-Note: hello", b"X-Not\xc3\xa9: hello")
        stdin(data)
        assert main(["parse", "-"]) == 1
        first, line, caret = capsys.readouterr().out.splitlines()
        offset = data.index(b"\xc3\xa9")
        assert first.startswith("stdin:8:6: ")
        assert f"byte {offset}" in first
        assert "400" in first
        assert line == "    X-Noté: hello"
        assert caret == "    " + " " * 5 + "^"

    def test_malformed_header_gets_a_caret_in_its_value(self, stdin, capsys) -> None:
        stdin(OPTIONS.replace(b"CSeq: 7 OPTIONS", b"CSeq: seven OPTIONS"))
        assert main(["parse", "-"]) == 1
        lines = capsys.readouterr().out.splitlines()
        at = lines.index("CSeq: seven OPTIONS")
        assert lines[at + 1] == "    seven OPTIONS"
        assert lines[at + 2].startswith("    ^ ")
        assert any(line.startswith("! CSeq ") and "400" in line for line in lines)

    def test_what_should_be_ignored_is_said_and_is_no_failure(self, stdin, capsys) -> None:
        stdin(OPTIONS.replace(b"X-Note: hello", b"Date: today\r\nContact: <sip:a@b>;;"))
        assert main(["parse", "-"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[-2:] == [
            "- Date is not like Sat, 13 Nov 2010 23:29:00 GMT (to be ignored)",
            "- Contact: parameter without a name (to be ignored)",
        ]

    def test_what_a_server_would_refuse_is_said(self, stdin, capsys) -> None:
        stdin(OPTIONS.replace(b"Call-ID: c1@127.0.0.1\r\n", b""))
        assert main(["parse", "-"]) == 1
        assert "! Call-ID: " in capsys.readouterr().out

    def test_too_long(self, stdin, capsys) -> None:
        stdin(OPTIONS + b"x" * 70000)
        assert main(["parse", "-"]) == 1
        assert "513" in capsys.readouterr().out

    def test_empty(self, stdin, capsys) -> None:
        stdin(b"")
        assert main(["parse", "-"]) == 1
        assert "stdin:1:1: " in capsys.readouterr().out

    def test_every_message_of_a_file(self, tmp_path: Path, capsys) -> None:
        file = tmp_path / "three.sip"
        body = OPTIONS.replace(b"Length: 0\r\n\r\n", b"Length: 4\r\nContent-Type: a/b\r\n\r\n\r\n\r\n")
        file.write_bytes(b"\r\n" + OPTIONS + b"\r\n\r\n" + body + bytes(parse(OPTIONS).reply(486)) + b"\0\r\n")
        assert main(["parse", str(file)]) == 0
        output = capsys.readouterr().out
        assert re.findall(r"^(?:request OPTIONS|response 486)", output, re.MULTILINE) == ["request OPTIONS"] * 2 + [
            "response 486"
        ]
        assert output.count("\n\n") == 2

    def test_a_bad_message_behind_a_good_one(self, tmp_path: Path, capsys) -> None:
        file = tmp_path / "two.sip"
        file.write_bytes(OPTIONS + OPTIONS.replace(b"X-Note:", b"X Note:") + OPTIONS)
        assert main(["parse", str(file)]) == 1
        output = capsys.readouterr().out
        at = OPTIONS.index(b"X-Note") + 1 + len(OPTIONS)
        assert output.startswith("request OPTIONS")
        assert f"{file}:18:2: header name has a space in it (byte {at}) - a server answers 400\n    X Note" in output
        assert output.count("request") == 1

    def test_many_messages_are_more_than_one_may_be(self, stdin, capsys) -> None:
        stdin(OPTIONS * 300)
        assert main(["parse", "-"]) == 0
        assert capsys.readouterr().out.count("request OPTIONS") == 300

    def test_line_ends_that_an_editor_has_made_lf(self, tmp_path: Path, capsys) -> None:
        file = tmp_path / "lf.sip"
        head = OPTIONS.replace(b"Length: 0\r\n", b"Type: application/sdp\r\nContent-Length: 10\r\n")
        file.write_bytes((head + b"v=0\r\ns=-\r\n").replace(b"\r\n", b"\n"))
        assert main(["parse", str(file)]) == 0
        first, second, *_ = lines = capsys.readouterr().out.splitlines()
        assert first == f"{file}: the line ends are LF alone; read with CRLF, which its Content-Length counts"
        assert second.startswith("request OPTIONS")
        assert "body: 10 bytes" in lines

    def test_line_ends_of_several_messages(self, stdin, capsys) -> None:
        head = OPTIONS.replace(b"Length: 0\r\n", b"Type: application/sdp\r\nContent-Length: 10\r\n")
        messages = [head + b"v=0\r\ns=-\r\n", OPTIONS, head + b"v=0\r\ns=-\r\n"]
        stdin(b"".join(messages).replace(b"\r\n", b"\n"))
        assert main(["parse", "-"]) == 0
        output = capsys.readouterr().out
        assert output.startswith("stdin: the line ends are LF alone; read with CRLF")
        assert output.count("LF alone") == 1
        assert (output.count("request OPTIONS"), output.count("body: 10 bytes")) == (3, 2)

    def test_line_ends_that_are_lf_and_were(self, stdin, capsys) -> None:
        head = OPTIONS.replace(b"\r\n", b"\n").replace(b"Length: 0\n", b"Type: application/sdp\nContent-Length: 8\n")
        stdin((head + b"v=0\ns=-\n") * 2)
        assert main(["parse", "-"]) == 0
        output = capsys.readouterr().out
        assert "LF alone" not in output
        assert output.count("body: 8 bytes") == 2

    def test_line_ends_of_what_is_no_message_either_way(self, stdin, capsys) -> None:
        stdin(OPTIONS.replace(b"\r\n", b"\n") + b"hello\n")
        assert main(["parse", "-"]) == 1
        output = capsys.readouterr().out
        assert "LF alone" not in output
        assert "stdin:11:6: request line ends after the method" in output

    @pytest.mark.parametrize("size", ["-5", "0", "x", "4194304", "1_0", "\u0665"])
    def test_a_size_that_is_no_limit(self, size: str, capsys) -> None:
        with pytest.raises(SystemExit) as raised:
            main(["parse", f"--max-size={size}", "-"])
        assert raised.value.code == 2
        assert f"argument --max-size: {size!r} is not a number of bytes (1 to 4194303)" in capsys.readouterr().err

    def test_a_capture(self, tmp_path: Path, capsys) -> None:
        pytest.importorskip("scapy", reason="scapy is not installed")
        from test_docs import write_capture

        write_capture(tmp_path / "trunk.pcap")
        assert main(["parse", str(tmp_path / "trunk.pcap")]) == 1  # a body without a Content-Type
        output = capsys.readouterr().out
        shown = re.findall(r"^--- (.*)\n(\w+ \w+)", output, re.MULTILINE)
        assert shown == [
            ("1700000000.000000 192.0.2.1:5060 -> 192.0.2.20:5060", "request INVITE"),
            ("1700000000.050000 192.0.2.20:5060 -> 192.0.2.1:5060", "response 486"),
        ]
        assert output.endswith("--- 1 other datagrams\n")
        assert "body: 2000 bytes" in output

    def test_a_capture_from_a_pipe(self, tmp_path: Path) -> None:
        """What was read of it is not there a second time."""
        pytest.importorskip("scapy", reason="scapy is not installed")
        from test_docs import write_capture

        write_capture(tmp_path / "trunk.pcap")
        command = [sys.executable, "-m", "sipstack", "parse", "-"]
        data = (tmp_path / "trunk.pcap").read_bytes()
        result = subprocess.run(command, input=data, capture_output=True, timeout=120, check=False)
        assert (result.returncode, result.stderr) == (1, b"")
        assert result.stdout.count(b"\n--- ") == 2
        closed = subprocess.run(
            ["/bin/sh", "-c", f"{sys.executable} -m sipstack parse {tmp_path}/trunk.pcap | head -c 1"],
            capture_output=True, timeout=120, check=False,
        )  # fmt: skip
        assert closed.stderr == b""

    @pytest.mark.parametrize("data", [b"\xd4\xc3\xb2\xa1", b"\n\r\r\n" + b"\xff" * 100, b"\n\r\r\n"])
    def test_a_capture_that_is_broken(self, tmp_path: Path, capsys, data: bytes) -> None:
        pytest.importorskip("scapy", reason="scapy is not installed")
        file = tmp_path / "a.pcap"
        file.write_bytes(data)
        assert main(["parse", str(file)]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"sipstack parse: {file}: the capture cannot be read: ")
        assert error.count("\n") == 1

    def test_fragments_of_a_capture(self, tmp_path: Path, capsys) -> None:
        """A piece of a message is not shown as a message that is broken."""
        inet6 = pytest.importorskip("scapy.layers.inet6", reason="scapy is not installed")
        inet, utils = pytest.importorskip("scapy.layers.inet"), pytest.importorskip("scapy.utils")
        data = OPTIONS.replace(b"X-Note: ", b"X-Note: " + b"x" * 3000)
        ip = inet6.IPv6(src="2001:db8::1", dst="2001:db8::2")
        pieces = inet6.fragment6(ip / inet6.IPv6ExtHdrFragment(id=9) / inet.UDP(sport=5060, dport=5060) / data, 1280)
        utils.wrpcap(str(tmp_path / "a.pcap"), pieces, linktype=101)
        assert main(["parse", str(tmp_path / "a.pcap")]) == 0
        assert capsys.readouterr().out == "--- 3 fragments of IPv6, which are not put together\n"

    def test_many_messages(self, tmp_path: Path, capsys) -> None:
        def prepare(size: int) -> Callable[[], object]:
            file = tmp_path / "a.sip"
            file.write_bytes(message * max(1, size // len(message)))
            return lambda: main(["parse", str(file)])

        message = OPTIONS.replace(b"Length: 0", b"Length: 60000") + b"x" * 60_000
        with capsys.disabled(), contextlib.redirect_stdout(io.StringIO()):
            assert_linear(prepare, 1 << 20, 1 << 25)

    def test_a_line_that_is_a_whole_file(self, tmp_path: Path, capsys) -> None:
        data = OPTIONS + b"A" * 3_000_000
        (tmp_path / "a.sip").write_bytes(data)
        assert main(["parse", str(tmp_path / "a.sip")]) == 1
        text, caret = capsys.readouterr().out.splitlines()[-2:]
        assert (text.strip(), caret.strip()) == ("..." + "A" * 100 + "...", "^")

    @pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
    def test_what_an_encoding_has_not(self, encoding: str) -> None:
        result = subprocess.run(
            [sys.executable, "-m", "sipstack", "parse", "-"], input=OPTIONS.replace(b"hello", "grüß €".encode()),
            env={**os.environ, "PYTHONIOENCODING": encoding}, capture_output=True, timeout=120, check=False,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        assert b"X-Note: " + "grüß €".encode(encoding, "backslashreplace") in result.stdout

    @pytest.mark.parametrize(
        ("redirect", "code", "text"),
        [("<&-", 2, "sipstack parse: stdin: it is closed\n"), (">&-", 0, ""),
         ("> /dev/full", 1, "sipstack parse: No space left on device\n")],
    )  # fmt: skip
    def test_what_is_closed_or_full(self, redirect: str, code: int, text: str) -> None:
        if "/dev/full" in redirect and not Path("/dev/full").exists():
            pytest.skip("there is no /dev/full")
        command = f"{sys.executable} -m sipstack parse - {redirect}"
        command_line = ["/bin/sh", "-c", command]
        result = subprocess.run(command_line, input=OPTIONS, capture_output=True, timeout=120, check=False)
        assert (result.returncode, result.stderr.decode()) == (code, text)

    def test_the_name_of_a_file_moves_no_cursor(self, capsys) -> None:
        assert main(["parse", "no\x1b[2Jfile"]) == 2
        assert capsys.readouterr().err == "sipstack parse: no\\x1b[2Jfile: No such file or directory\n"

    def test_a_capture_without_scapy(self, tmp_path: Path, capsys, monkeypatch) -> None:
        for name in ("scapy", "scapy.layers.inet", "scapy.layers.inet6"):
            monkeypatch.setitem(sys.modules, name, None)
        for magic in (b"\xd4\xc3\xb2\xa1", b"\n\r\r\n"):
            (tmp_path / "a.pcap").write_bytes(magic + bytes(100))
            assert main(["parse", str(tmp_path / "a.pcap")]) == 2
            assert "needs scapy to be read: pip install scapy" in capsys.readouterr().err

    def test_no_such_file(self, tmp_path: Path, capsys) -> None:
        assert main(["parse", str(tmp_path / "none.sip")]) == 2
        assert "No such file" in capsys.readouterr().err

    def test_whole_corpus(self, corpus: Path, capsys) -> None:
        """Whatever a message is, it is shown or refused with a place, and nothing unprintable reaches the terminal."""
        files = sorted(corpus.rglob("*.dat"))
        assert files
        for file in files:
            code = main(["parse", str(file)])
            output = capsys.readouterr().out
            assert code in (0, 1)
            assert output.replace("\n", "").isprintable()
            assert output.startswith(("request ", "response ", str(file)))

    def test_reader_that_goes_away(self) -> None:
        command = f"{sys.executable} -m sipstack parse - | head -c 1"
        result = subprocess.run(
            ["/bin/sh", "-c", command], input=OPTIONS * 1, capture_output=True, timeout=120, check=False
        )
        assert b"Traceback" not in result.stderr
        assert b"BrokenPipe" not in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="a server process is ended with a signal")
def test_serve_goes_on_where_nobody_reads_its_log() -> None:
    command = [sys.executable, "-m", "sipstack", "serve", "--port", "0", "-v"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process, udp_socket() as sock:
        assert process.stdout is not None
        assert process.stderr is not None
        port = int(re.search(rb"127\.0\.0\.1:([0-9]+)", process.stdout.readline())[1])
        process.stdout.close()
        for _ in range(3):
            sock.sendto(OPTIONS, ("127.0.0.1", port))
            assert parse(sock.recv(4000)).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.stderr.read() == b""


class TestTarget:
    @pytest.mark.parametrize(
        ("text", "host", "port"),
        [
            ("sip.example.com", "sip.example.com", 5060),
            ("127.0.0.1:5070", "127.0.0.1", 5070),
            ("[::1]:5070", "::1", 5070),
            ("[::1]", "::1", 5060),
            ("::1", "::1", 5060),
            ("fe80::1%eth0", "fe80::1%eth0", 5060),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.1", 5060),
            ("fe80::1%eth0.5-a", "fe80::1%eth0.5-a", 5060),
        ],
    )
    def test_good(self, text: str, host: str, port: int) -> None:
        assert target(text) == Target(host, port)

    @pytest.mark.parametrize(
        "text", ["", ":5060", "host:", "host:0", "host:65536", "host:\u0661", "a b", "[abc]:1", "h:1:x"]
    )
    def test_bad(self, text: str) -> None:
        with pytest.raises(argparse.ArgumentTypeError, match=r"is not HOST, .* or a sip: URI$"):
            target(text)

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("sip:example.com", Target("example.com", 5060, "sip:example.com")),
            ("sip:bob@[::1]:5070;transport=tcp", Target("::1", 5070, "sip:bob@[::1]:5070;transport=tcp", "TCP")),
            ("SIP:bob@h;maddr=192.0.2.1;method=BYE?a=b", Target("192.0.2.1", 5060, "sip:bob@h;maddr=192.0.2.1")),
            ("sip:h;transport=UDP", Target("h", 5060, "sip:h;transport=UDP", "UDP")),
        ],
    )
    def test_uri(self, text: str, expected: Target) -> None:
        assert target(text) == expected

    @pytest.mark.parametrize("text", ["sips:h", "sip:", "sip:h;transport=tls", "sip:h:0", "sip:a b", "sip:h:65536"])
    def test_bad_uri(self, text: str) -> None:
        with pytest.raises(argparse.ArgumentTypeError):
            target(text)

    @pytest.mark.parametrize("piece", [":", "a:", "::", ".", "%", "1:%", "[", "sip:", "sip:a@"])
    def test_the_cost_is_linear(self, piece: str) -> None:
        def read(text: str) -> None:
            with contextlib.suppress(argparse.ArgumentTypeError):
                target(text)

        assert_linear(lambda size: partial(read, fill(piece, size) + "x!"))

    def test_hostport(self) -> None:
        assert Target("fe80::1%eth0", 5060).hostport == "[fe80::1]:5060"


@contextmanager
def responder(answer: Callable[[bytes], list[bytes]], family: int = socket.AF_INET) -> Iterator[int]:
    """A UDP server on loopback that sends, for each datagram, what `answer` makes of it."""
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        sock.settimeout(0.05)
        done = threading.Event()

        def loop() -> None:
            while not done.is_set():
                try:
                    data, peer = sock.recvfrom(65535)
                except TimeoutError:
                    continue
                for reply in answer(data):
                    sock.sendto(reply, peer)

        thread = threading.Thread(target=loop)
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            done.set()
            thread.join()


def ok(data: bytes) -> list[bytes]:
    return [bytes(parse(data).reply(200))]


@contextmanager
def stream_responder(answer: Callable[[bytes], bytes], messages: int = 100) -> Iterator[int]:
    """A TCP server on loopback; it closes each connection after so many messages."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        done = threading.Event()

        def loop() -> None:
            while not done.is_set():
                with contextlib.suppress(TimeoutError), server.accept()[0] as sock:
                    sock.settimeout(0.05)
                    parser, left = StreamParser(), messages
                    while left and not done.is_set():
                        with contextlib.suppress(TimeoutError):
                            data = sock.recv(65535)
                            if not data:
                                break
                            for message in parser.feed(data):
                                left -= 1
                                sock.sendall(answer(bytes(message)))

        thread = threading.Thread(target=loop)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            done.set()
            thread.join()


class TestPing:
    @pytest.mark.parametrize("by", ["option", "uri"])
    def test_tcp(self, by: str, capsys) -> None:
        seen: list[bytes] = []
        with stream_responder(lambda data: seen.append(data) or ok(data)[0]) as port:
            where = ["--tcp", f"127.0.0.1:{port}"] if by == "option" else [f"sip:bob@127.0.0.1:{port};transport=tcp"]
            assert main(["ping", "-c", "3", "-i", "0.01", *where]) == 0
        output = capsys.readouterr().out
        assert ": OPTIONS over TCP\n" in output
        assert "3 requests sent, 3 answered, 0% lost" in output
        first = parse(seen[0])
        assert first.validate() == []
        assert (first.via.transport, len(seen)) == ("TCP", 3)
        assert first.request_uri == where[-1] if by == "uri" else first.request_uri == f"sip:{where[-1]}"

    def test_tcp_connection_that_ends_is_made_anew(self, capsys) -> None:
        with stream_responder(lambda data: ok(data)[0], messages=1) as port:
            assert main(["ping", "--tcp", "-c", "3", "-i", "0.2", f"127.0.0.1:{port}"]) == 0
        assert "3 requests sent, 3 answered" in capsys.readouterr().out

    def test_tcp_answer_that_is_no_message(self, capsys) -> None:
        with stream_responder(lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
            assert main(["ping", "--tcp", "-c", "1", f"127.0.0.1:{port}"]) == 1
        assert "seq=1 " in capsys.readouterr().out

    def test_tcp_nothing_listens(self, capsys) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        assert main(["ping", "--tcp", "-c", "1", f"127.0.0.1:{port}"]) == 2
        assert "refused" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("expect", "code"), [("200", 1), ("503", 0), ("5xx", 0), ("2XX", 1), (None, 0)]
    )  # fmt: skip
    def test_expect(self, expect: str | None, code: int, capsys) -> None:
        with responder(lambda data: [bytes(parse(data).reply(503))]) as port:
            arguments = [] if expect is None else ["--expect", expect]
            assert main(["ping", "-c", "1", *arguments, f"127.0.0.1:{port}"]) == code

    def test_expect_and_one_of_two_answers(self, capsys) -> None:
        statuses = iter([200, 503])
        with responder(lambda data: [bytes(parse(data).reply(next(statuses)))]) as port:
            assert main(["ping", "-c", "2", "-i", "0.01", "--expect", "200", f"127.0.0.1:{port}"]) == 1

    @pytest.mark.parametrize("wrong", ["100", "2x", "700", "20", "ok", "2000"])
    def test_expect_that_is_no_final_status(self, wrong: str, capsys) -> None:
        with pytest.raises(SystemExit):
            main(["ping", "--expect", wrong, "127.0.0.1"])
        assert f"{wrong!r} is not a status from 200 to 699" in capsys.readouterr().err

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send to a process")
    def test_sigint_where_a_script_has_started_it_in_the_background(self) -> None:
        with responder(ok) as port:
            command = [sys.executable, "-m", "sipstack", "ping", "-i", "0.05", f"127.0.0.1:{port}"]
            process = subprocess.Popen(
                ["/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh", *command], stdout=subprocess.PIPE, text=True
            )
            assert process.stdout is not None
            head = [process.stdout.readline() for _ in range(3)]
            process.send_signal(signal.SIGINT)
            output = "".join(head) + process.communicate(timeout=10)[0]
        assert process.returncode == 0
        assert "ping statistics" in output

    def test_answers_and_statistics(self, capsys) -> None:
        with responder(ok) as port:
            assert main(["ping", "-W", "30", "-c", "3", "-i", "0.01", f"127.0.0.1:{port}"]) == 0
        output = capsys.readouterr().out
        assert re.findall(r"200 OK from 127\.0\.0\.1:\d+: seq=(\d) bytes=\d+ time=[\d.]+ ms", output) == ["1", "2", "3"]
        assert "3 requests sent, 3 answered, 0% lost" in output
        low, mean, high, deviation = map(float, re.search(r"= ([\d.]+)/([\d.]+)/([\d.]+)/([\d.]+) ms", output).groups())
        assert 0 < low <= mean <= high
        assert deviation >= 0

    def test_request_is_valid(self) -> None:
        seen: list[bytes] = []
        with responder(lambda data: seen.append(data) or ok(data)) as port:
            assert main(["ping", "-W", "30", "-c", "2", "-i", "0.01", f"127.0.0.1:{port}"]) == 0
        first, second = map(parse, seen)
        assert first.validate() == []
        assert first.via.rport == 0
        assert first.call_id == second.call_id
        assert (first.cseq.num, second.cseq.num) == (1, 2)
        assert first.via.branch != second.via.branch

    def test_ipv6(self, capsys) -> None:
        try:
            with responder(ok, socket.AF_INET6) as port:
                assert main(["ping", "-W", "30", "-c", "1", f"[::1]:{port}"]) == 0
        except OSError as error:
            pytest.skip(f"no IPv6 loopback here: {error}")
        assert "200 OK from [::1]:" in capsys.readouterr().out

    def test_nothing_answers(self, capsys) -> None:
        with responder(lambda data: []) as port:
            assert main(["ping", "-c", "2", "-i", "0.01", "-W", "0.1", f"127.0.0.1:{port}"]) == 1
        output = capsys.readouterr().out
        assert "seq=1 no answer within 0.1 s" in output
        assert "2 requests sent, 0 answered, 100% lost" in output
        assert "rtt" not in output

    def test_nothing_listens(self, capsys) -> None:
        with refusing_socket() as sock:
            assert main(["ping", "-c", "1", "-W", "30", f"127.0.0.1:{sock.getsockname()[1]}"]) == 1
        assert re.search(r"seq=1 .*refused", capsys.readouterr().out)

    def test_no_host_name(self, capsys) -> None:
        assert main(["ping", "-c", "1", "a" * 64 + ".invalid"]) == 2
        assert "label" in capsys.readouterr().err

    def test_any_final_answer_counts(self, capsys) -> None:
        with responder(lambda data: [bytes(parse(data).reply(100)), bytes(parse(data).reply(404))]) as port:
            assert main(["ping", "-W", "30", "-c", "1", f"127.0.0.1:{port}"]) == 0
        output = capsys.readouterr().out
        assert "404 Not Found from" in output
        assert "100 Trying" not in output

    def test_what_is_not_our_answer(self, capsys) -> None:
        def answer(data: bytes) -> list[bytes]:
            good = bytes(parse(data).reply(200))
            return [b"garbage", data, good.replace(b"z9hG4bK", b"z9hG4bKother"), good, good]

        with responder(answer) as port:
            assert main(["ping", "-W", "30", "-c", "2", "-i", "0.1", f"127.0.0.1:{port}"]) == 0
        output = capsys.readouterr().out
        assert "7 bytes that are no SIP response" in output
        assert "seq=1 answered again" in output
        assert "2 requests sent, 2 answered" in output

    def test_terminal_is_safe_from_the_answer(self, capsys) -> None:
        def answer(data: bytes) -> list[bytes]:
            return [bytes(parse(data).reply(200, headers={"Server": "evil\u202e\u009b2J"}))]

        with responder(answer) as port:
            assert main(["ping", "-W", "30", "-c", "1", f"127.0.0.1:{port}"]) == 0
        assert capsys.readouterr().out.replace("\n", "").isprintable()

    @pytest.mark.parametrize("name", ["Server", "User-Agent", "reason"])
    @pytest.mark.parametrize("text", ["x" * 60_000, "\xe9" * 20_000, "\u202e" * 20_000])
    def test_a_line_is_not_as_long_as_what_came(self, name: str, text: str, capsys) -> None:
        def answer(data: bytes) -> list[bytes]:
            response = parse(data).reply(200, headers={} if name == "reason" else {name: text})
            return [bytes(response).replace(b"200 OK", b"200 " + text.encode() if name == "reason" else b"200 OK")]

        with responder(answer) as port:
            assert main(["ping", "-W", "30", "-c", "1", f"127.0.0.1:{port}"]) == 0
        output = capsys.readouterr().out
        assert max(map(len, output.splitlines())) < 400
        assert f"({len(text)} characters)" in output

    def test_unknown_host(self, capsys) -> None:
        assert main(["ping", "-c", "1", "-4", "::1"]) == 2
        assert "sipstack ping: " in capsys.readouterr().err

    @pytest.mark.parametrize("arguments", [["-c", "0"], ["-i", "0"], ["-W", "nan"], ["-c", "x"], ["-i", "inf"]])
    def test_arguments_out_of_range(self, arguments: list[str], capsys) -> None:
        with pytest.raises(SystemExit) as raised:
            main(["ping", *arguments, "127.0.0.1"])
        assert raised.value.code == 2
        assert "Traceback" not in capsys.readouterr().err

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send to a process")
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_summary_when_interrupted(self, number: signal.Signals) -> None:
        with responder(ok) as port:
            command = [sys.executable, "-m", "sipstack", "ping", "-W", "30", "-i", "0.05", f"127.0.0.1:{port}"]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            assert process.stdout is not None
            head = [process.stdout.readline() for _ in range(3)]
            process.send_signal(number)
            output = "".join(head) + process.communicate(timeout=60)[0]
        assert process.returncode == 0, output
        assert "ping statistics" in output
        assert "rtt min/avg/max/mdev" in output
        assert "Traceback" not in output


def exchange(port: int, data: bytes) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(30)
        sock.sendto(data, ("127.0.0.1", port))
        return sock.recv(65535)


class TestServe:
    def test_options(self, serve) -> None:
        response = parse(exchange(serve().port, OPTIONS))
        assert response.status_code == 200
        assert "OPTIONS" in (response.get_header("Allow") or "")
        assert response.get_header("Accept") == "application/sdp"
        assert response.get_header("Supported") is not None
        assert response.to_tag
        assert response.validate() == []

    def test_other_methods(self, serve) -> None:
        request = OPTIONS.replace(b"OPTIONS", b"REGISTER")
        assert parse(exchange(serve().port, request)).status_code == 405

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_clean_stop_with_a_summary(self, serve, number: signal.Signals) -> None:
        server = serve()
        exchange(server.port, OPTIONS)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"garbage that is not SIP\r\n\r\n", ("127.0.0.1", server.port))
        exchange(server.port, OPTIONS)
        assert server.stop(number) == 0
        assert "Traceback" not in server.output
        assert "2 requests" in server.output
        assert "1 unreadable" in server.output

    def test_workers(self, serve) -> None:
        server = serve("--workers", "2")
        for _ in range(20):
            assert parse(exchange(server.port, OPTIONS)).status_code == 200
        assert server.stop() == 0
        assert "20 requests" in server.output
        assert "Traceback" not in server.output

    def test_log_lines_where_there_is_no_terminal(self, serve) -> None:
        server = serve("--interval", "0.2")
        exchange(server.port, OPTIONS)
        server.wait_for(r"1 requests?\b.*\n")
        assert "\x1b" not in server.output

    def test_verbose_names_each_request(self, serve) -> None:
        server = serve("-v")
        exchange(server.port, OPTIONS)
        server.wait_for(r"OPTIONS sip:probe@127\.0\.0\.1:5060.*from 127\.0\.0\.1")

    def test_port_in_use(self, serve, capsys) -> None:
        assert main(["serve", "--host", "127.0.0.1", "--port", str(serve().port)]) == 2
        assert "in use" in capsys.readouterr().err

    @pytest.mark.parametrize("arguments", [["--port", "65536"], ["--workers", "0"], ["--port", "x"]])
    def test_arguments_out_of_range(self, arguments: list[str], capsys) -> None:
        with pytest.raises(SystemExit) as raised:
            main(["serve", *arguments])
        assert raised.value.code == 2
        assert "Traceback" not in capsys.readouterr().err

    @pytest.mark.parametrize("port", ["abc", "65536", "-1", "5060x"])
    def test_a_port_that_is_none(self, port: str, capsys) -> None:
        with pytest.raises(SystemExit):
            main(["serve", f"--port={port}"])
        assert f"argument --port: {port!r} is not a port number (0 to 65535)" in capsys.readouterr().err

    def test_what_went_wrong_comes_first(self) -> None:
        rates = _serve._Rates()
        methods = {"OPTIONS": 123_456_789, "REGISTER": 1_000_000}
        rates.stats = dataclasses.replace(
            rates.stats, requests_by_method=methods, parse_errors=12, kernel_drops=345, handler_errors=6
        )
        line = _serve._line(rates.uptime, rates.troubles(), rates.rates(), rates.counts(), between="  ")
        assert line[:80].startswith("0:00:00  12 unreadable, 345 dropped by the system, 6 errors of our own  0/s in")

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has no terminals of this kind")
    @pytest.mark.parametrize("workers", [1, 2])
    def test_live_line_on_a_terminal(self, workers: int) -> None:
        """A real terminal: Ctrl-C there is a SIGINT to every process of the command, workers too."""
        pytest.importorskip("rich")
        import fcntl
        import termios

        leader, follower = os.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
        command = [sys.executable, "-m", "sipstack", "serve", "--port", "0", "--workers", str(workers)]
        process = subprocess.Popen(
            command,
            stdin=follower,
            stdout=follower,
            stderr=follower,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(follower)
        try:
            output = read_until(leader, rb"listening on [^ ]*:(\d+)")
            port = int(re.search(rb"listening on [^ ]*:(\d+)", output)[1])
            exchange(port, OPTIONS)
            output += read_until(leader, rb"\b1 request\b")
            os.write(leader, b"\x03")
            output += read_until(leader, rb"stopped after[^\n]*\n")
            assert process.wait(60) == 0
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            os.close(leader)
        assert b"Traceback" not in output
        assert b"0 unreadable, 0 dropped by the system; 1 request (OPTIONS 1), 1 response (2xx 1)" in output


def read_until(fd: int, pattern: bytes, seconds: float = 60) -> bytes:
    """Reads a terminal's output until `pattern` is in it (or it ends)."""
    os.set_blocking(fd, False)
    output, end = b"", time.monotonic() + seconds
    while not re.search(pattern, output):
        assert time.monotonic() < end, output
        try:
            chunk = os.read(fd, 65536)
        except BlockingIOError:
            time.sleep(0.02)
            continue
        except OSError:  # the other side is closed
            break
        output += chunk
    return output


class TestMain:
    def test_module_is_the_command(self) -> None:
        result = subprocess.run(
            [sys.executable, "-m", "sipstack", "--version"], capture_output=True, text=True, timeout=120, check=True
        )
        assert re.fullmatch(r"sipstack [0-9.]+\S* \((cython|python)\)\n", result.stdout)

    def test_no_command(self, capsys) -> None:
        with pytest.raises(SystemExit) as raised:
            main([])
        assert raised.value.code == 2
        assert "COMMAND" in capsys.readouterr().err
