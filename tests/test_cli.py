"""The command line: what it prints, its exit codes, how it stops."""

import argparse
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
from pathlib import Path

import pytest
from test_transport import refusing_socket

from sipstack import parse
from sipstack.cli import main
from sipstack.cli._ping import Target, target
from sipstack.cli._text import line_at, pointed, visible

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
        assert any(line.startswith("! CSeq: ") and "400" in line for line in lines)

    def test_what_should_be_ignored_is_said_and_is_no_failure(self, stdin, capsys) -> None:
        stdin(OPTIONS.replace(b"X-Note: hello", b"Date: today\r\nContact: <sip:a@b>;;"))
        assert main(["parse", "-"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[-2:] == [
            "- Date: Date is not like Sat, 13 Nov 2010 23:29:00 GMT (to be ignored)",
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
        ],
    )
    def test_good(self, text: str, host: str, port: int) -> None:
        assert target(text) == Target(host, port)

    @pytest.mark.parametrize(
        "text", ["", ":5060", "host:", "host:0", "host:65536", "host:\u0661", "a b", "[abc]:1", "h:1:x"]
    )
    def test_bad(self, text: str) -> None:
        with pytest.raises(argparse.ArgumentTypeError):
            target(text)

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


class TestPing:
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
        assert b"1 request (OPTIONS 1), 1 response (2xx 1), 0 unreadable" in output


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
