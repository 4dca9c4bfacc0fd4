"""A Slack that takes messages by an incoming webhook as the real one does, refuses what it
refuses, and can be told to fail. What it shows of a text is in shown(): links, mentions
and code as Slack reads mrkdwn."""

import http.server
import json
import re
import threading

PATH = "/services/T0FAKE/B0FAKE/" + "s" * 24
CONTROL = re.compile(r"<([^<>]*)>")
TEXT_MAX = 40000


def shown(text):
    """(words, links, mentions) as a reader of the channel has them."""
    links, mentions = [], []

    def control(match):
        target, _, label = match.group(1).partition("|")
        if target[:1] in ("@", "!", "#"):
            mentions.append(target)
            return label or target
        links.append(target.replace("&amp;", "&"))
        return label or target
    words = CONTROL.sub(control, text)
    for code, char in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        words = words.replace(code, char)
    return words, links, mentions


class Slack:
    def __init__(self):
        self.posts = []  # every request's text, answered or not
        self.messages = []  # what is in the channel
        self.broken = []  # what Slack would not have understood
        self.faults = []  # [kind, times, options]
        self.lock = threading.Lock()
        self.gone = threading.Event()
        slack = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                slack.serve(self, body)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass  # clients that are killed

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}{PATH}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,),
                                        daemon=True)
        self._thread.start()

    def fail_next(self, kind, times=1, **options):
        """answer (status, body, headers), lost_before, lost_after, never."""
        with self.lock:
            self.faults.append([kind, times, options])

    def heal(self):
        with self.lock:
            self.faults.clear()

    def serve(self, handler, body):
        text = self._read(handler, body)
        with self.lock:
            self.posts.append(text)
            fault = next((f for f in self.faults if f[1]), None)
            if fault:
                fault[1] -= 1
            kind, options = (fault[0], fault[2]) if fault else ("", {})
            if kind in ("", "lost_after") and text is not None:
                self.messages.append(text)
        if kind == "never":
            self.gone.wait()
        if kind in ("never", "lost_before", "lost_after"):
            handler.close_connection = True
            handler.connection.close()
            return
        status, words, headers = 200, "ok", {}
        if kind == "answer":
            status, words = options.get("status", 500), options.get("body", "")
            headers = options.get("headers", {})
        elif text is None:
            status, words = 400, "no_text" if body == b"{}" else "invalid_payload"
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(words)), "Content-Type": "text/html",
                            **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(words.encode())

    def _read(self, handler, body):
        try:
            payload = json.loads(body)
            if payload == {}:
                assert handler.path == PATH, handler.path
                return None  # somebody looks whether the webhook is there
            text = payload["text"]
            assert handler.path == PATH, handler.path
            assert handler.headers["Content-Type"] == "application/json"
            assert payload.get("link_names") in (None, False) and text
            assert len(text) <= TEXT_MAX
            return text
        except (ValueError, KeyError, AssertionError) as e:
            self.broken.append(f"{e!r}: {body!r}")
            return None

    def stop(self):
        self.gone.set()
        self._server.shutdown()
        self._server.server_close()
