"""Uses a Twilio server with Twilio's own SDK, and is the server that Twilio calls: its TwiML, its status callbacks, its media stream.

usage: use_twilio.py BASE_URL ACCOUNT_SID AUTH_TOKEN NUMBER

NUMBER belongs to the account. A call that is placed is answered, and the callee says nothing; but +14155550101 is a machine with a
greeting of a second and a tone, and +14155550102 is busy.
"""

import json
import queue
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client
from twilio.twiml.voice_response import VoiceResponse
from websockets.sync.server import serve

base_url, account, token, number = sys.argv[1:]
LIMIT = 20

webhooks = {path: queue.Queue() for path in ("/voice", "/status", "/amd", "/recording")}
streams = queue.Queue()
validator = RequestValidator(token)


class Webhooks(BaseHTTPRequestHandler):
    """Takes what Twilio posts, if Twilio's own validator takes its signature."""

    def do_POST(self):
        form = self.rfile.read(int(self.headers["Content-Length"])).decode()
        fields = dict(parse_qsl(form, keep_blank_values=True))
        url = f"http://{self.headers['Host']}{self.path}"
        signature = self.headers["X-Twilio-Signature"]
        checks = {
            "valid": validator.validate(url, fields, signature),
            "valid for another": validator.validate(url + "x", fields, signature),
        }
        path = self.path.split("?")[0]
        webhooks[path].put(fields | checks)
        body = str(twiml()).encode() if path == "/voice" else b""
        self.send_response(200)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def twiml():
    response = VoiceResponse()
    stream = response.connect().stream(url=f"ws://127.0.0.1:{media.socket.getsockname()[1]}/media/1")
    stream.parameter(name="token", value="a token & more")
    response.say("Goodbye.")
    return response


def take_stream(connection):
    messages = [connection.request.path, dict(connection.request.headers.raw_items())]
    for text in connection:
        messages.append(json.loads(text))
        if messages[-1]["event"] == "media":
            break
    streams.put(messages)
    for _ in connection:  # until the call is over
        pass


class Elsewhere(TwilioHttpClient):
    """The SDK knows Twilio's own host only."""

    def request(self, method, url, *args, **kwargs):
        return super().request(method, url.replace("https://api.twilio.com", base_url), *args, **kwargs)


def client(with_token=token):
    return Client(account, with_token, http_client=Elsewhere(timeout=LIMIT))


def refused(status, code, call):
    try:
        call()
    except TwilioRestException as error:
        assert (error.status, error.code) == (status, code), error
    else:
        raise AssertionError(f"nothing was refused with {code}")


def read():
    mine = client().api.v2010.accounts(account).fetch()
    assert (mine.sid, mine.status) == (account, "active"), mine
    [owned] = client().incoming_phone_numbers.list(phone_number=number)
    assert owned.phone_number == number and owned.sid.startswith("PN"), owned
    assert client().incoming_phone_numbers.list(phone_number="+15005550001") == []
    changed = client().incoming_phone_numbers(owned.sid).update(voice_url="https://example.com/voice")
    assert changed.voice_url == "https://example.com/voice", changed


def refusals():
    refused(401, 20003, lambda: client("wrong").api.v2010.accounts(account).fetch())
    refused(404, 20404, lambda: client().calls("CA" + "0" * 32).fetch())
    refused(400, 21211, lambda: client().calls.create(to="hello", from_=number, url="https://example.com/"))


def call():
    placed = client().calls.create(
        to="+14155550100",
        from_=number,
        url=f"{here}/voice?agent=1&lang=en%20US",
        status_callback=f"{here}/status",
        status_callback_event=["initiated", "ringing", "answered", "completed"],
    )
    assert placed.sid.startswith("CA") and placed.status == "queued", placed
    assert placed.direction == "outbound-api" and placed.start_time is None, placed

    asked = webhooks["/voice"].get(timeout=LIMIT)
    assert asked["valid"] and not asked["valid for another"], asked
    assert (asked["CallSid"], asked["AccountSid"]) == (placed.sid, account), asked
    assert (asked["From"], asked["To"]) == (number, "+14155550100"), asked

    path, headers, connected, start, media = streams.get(timeout=LIMIT)
    signature = {name.lower(): value for name, value in headers.items()}["x-twilio-signature"]
    assert validator.validate(f"ws://{headers['Host']}{path}", {}, signature), headers
    assert connected["event"] == "connected" and start["event"] == "start", (connected, start)
    assert start["start"]["callSid"] == placed.sid and start["start"]["accountSid"] == account, start
    assert start["start"]["customParameters"] == {"token": "a token & more"}, start
    assert media["media"]["track"] == "inbound", media

    assert client().calls(placed.sid).fetch().status == "in-progress"
    assert placed.sid in [it.sid for it in client().calls.list(limit=20)]
    client().calls(placed.sid).update(status="completed")

    statuses = []
    while "completed" not in statuses:
        told = webhooks["/status"].get(timeout=LIMIT)
        assert told["valid"] and told["CallSid"] == placed.sid, told
        statuses.append(told["CallStatus"])
    assert sorted(statuses) == ["completed", "in-progress", "initiated", "ringing"], statuses
    assert client().calls(placed.sid).fetch().status == "completed"


def outcomes():
    busy = client().calls.create(
        to="+14155550102",
        from_=number,
        url=f"{here}/voice",
        timeout=20,
        status_callback=f"{here}/status",
        status_callback_event=["initiated", "ringing", "answered", "completed"],
    )
    told = [webhooks["/status"].get(timeout=LIMIT) for _ in range(2)]
    assert [it["CallStatus"] for it in told] == ["initiated", "busy"], told
    assert [it["SequenceNumber"] for it in told] == ["0", "1"] and all(it["valid"] for it in told), told
    assert told[1]["SipResponseCode"] == "486" and told[1]["CallDuration"] == "0", told
    [found] = client().calls.list(to="+14155550102", from_=number, limit=20)
    assert (found.sid, found.status, found.direction) == (busy.sid, "busy", "outbound-api"), found
    refused(400, 21220, lambda: client().calls(busy.sid).update(status="completed"))


def machine():
    placed = client().calls.create(
        to="+14155550101",
        from_=number,
        url=f"{here}/voice",
        time_limit=600,
        machine_detection="DetectMessageEnd",
        async_amd="true",
        async_amd_status_callback=f"{here}/amd?conversation=1",
        record=True,
        recording_channels="dual",
        recording_status_callback=f"{here}/recording",
    )
    told = webhooks["/amd"].get(timeout=LIMIT)
    assert told["valid"] and (told["CallSid"], told["AnsweredBy"]) == (placed.sid, "machine_end_beep"), told
    assert int(told["MachineDetectionDuration"]) >= 1000, told
    assert client().calls(placed.sid).fetch().answered_by == "machine_end_beep"
    since = client().calls(placed.sid).fetch().start_time
    assert placed.sid in [it.sid for it in client().calls.list(start_time_after=since, page_size=1)]
    client().calls(placed.sid).update(status="completed")
    told = webhooks["/recording"].get(timeout=LIMIT)
    assert told["valid"] and told["RecordingStatus"] == "completed" and told["RecordingChannels"] == "2", told
    audio = Elsewhere(timeout=LIMIT).request("GET", told["RecordingUrl"] + ".wav", auth=(account, token))
    assert audio.status_code == 200, audio


media = serve(take_stream, "127.0.0.1", 0)
server = ThreadingHTTPServer(("127.0.0.1", 0), Webhooks)
here = f"http://127.0.0.1:{server.server_port}"
for listener in (media, server):
    threading.Thread(target=listener.serve_forever, daemon=True).start()
for part in (read, refusals, call, outcomes, machine):
    part()
