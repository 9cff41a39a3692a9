"""Uses a Vonage account with Vonage's own SDK, which trusts the authority of REQUESTS_CA_BUNDLE for it.

usage: use_vonage.py HOST API_KEY API_SECRET APPLICATION_ID KEY_FILE OTHER_KEY_FILE NUMBER SIGNATURE_SECRET

HOST (with its port) stands for both of the vendor's hosts. NUMBER, without +, belongs to the application, whose tokens KEY_FILE signs.
Nobody answers at 14155550100; somebody does at 14155550102, and stays. SIGNATURE_SECRET signs webhooks.
"""

import hashlib
import json
import queue
import sys
import threading
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import jwt
from vonage import Auth, HttpClientOptions, Vonage
from vonage_http_client.errors import AuthenticationError, HttpRequestError, NotFoundError
from vonage_numbers import ListOwnedNumbersFilter
from vonage_voice import CreateCallRequest, ListCallsFilter, Talk
from vonage_voice.models import Conversation, TtsStreamOptions

host, api_key, api_secret, application_id, key_file, other_key_file, number, signature_secret = sys.argv[1:]


class Webhook(BaseHTTPRequestHandler):
    """Keeps what comes, and answers nothing."""

    came = queue.Queue()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Webhook.came.put((self.headers["Authorization"].removeprefix("Bearer "), body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
threading.Thread(target=server.serve_forever, daemon=True).start()
event_url = f"http://127.0.0.1:{server.server_port}/event"


def client(secret=api_secret, key=key_file):
    auth = Auth(
        api_key=api_key, api_secret=secret, application_id=application_id, private_key=Path(key).read_text()
    )
    return Vonage(auth, HttpClientOptions(api_host=host, rest_host=host, timeout=20, max_retries=0))


def expect(error, call):
    try:
        call()
    except error as raised:
        return raised
    raise AssertionError(f"no {error.__name__}")


vonage = client()

# The account.
assert vonage.account.get_balance().value > 0
application = vonage.application.get_application(application_id)
assert application.id == application_id and application.capabilities.voice.signed_callbacks, application
applications, further = vonage.application.list_applications()
assert [it.id for it in applications] == [application_id] and further is None
owned, count, _ = vonage.numbers.list_owned_numbers(ListOwnedNumbersFilter(pattern=number, search_pattern=0))
assert count == 1 and owned[0].msisdn == number and owned[0].app_id == application_id, owned
assert vonage.numbers.list_owned_numbers(ListOwnedNumbersFilter(pattern="999", search_pattern=0)) == ([], 0, None)

# A call.
request = {
    "to": [{"type": "phone", "number": "14155550100"}],
    "from_": {"type": "phone", "number": number},
    "ncco": [Talk(text="Hello.")],
    "event_url": [event_url],
}
placed = vonage.voice.create_call(CreateCallRequest(**request))
assert placed.status == "started" and placed.direction == "outbound" and placed.conversation_uuid.startswith("CON-")
assert vonage.http_client.last_response.status_code == 201
call = vonage.voice.get_call(placed.uuid)
assert call.to.number == "14155550100" and call.from_.number == number and call.link.endswith(placed.uuid), call
calls, further = vonage.voice.list_calls()
assert [it.uuid for it in calls] == [placed.uuid] and further is None
vonage.voice.transfer_call_ncco(placed.uuid, [Talk(text="Goodbye.")])
vonage.voice.mute(placed.uuid)
vonage.voice.hangup(placed.uuid)
assert vonage.http_client.last_response.status_code == 204
cancelled = []
while "cancelled" not in cancelled:
    token, body = Webhook.came.get(timeout=20)
    cancelled.append(json.loads(body).get("status"))
    # The SDK looks at the signature alone: what is signed beside it is for whoever gets the webhook to look at.
    assert vonage.voice.verify_signature(token, signature_secret)
    assert not vonage.voice.verify_signature(token, signature_secret + "x")
    claims = jwt.decode(token, signature_secret, algorithms=["HS256"])
    assert claims["iss"] == "Vonage" and claims["api_key"] == api_key and claims["application_id"] == application_id
    assert claims["payload_hash"] == hashlib.sha256(body).hexdigest()
assert cancelled[0] == "started", cancelled
assert vonage.voice.get_call(placed.uuid).status == "cancelled"
expect(NotFoundError, lambda: vonage.voice.hangup(placed.uuid))

# A call that is answered, and changed while it is on.
talking = request | {
    "to": [{"type": "phone", "number": "14155550102"}],
    "ncco": [Conversation(name="room")],
    "advanced_machine_detection": {"behavior": "continue", "mode": "detect_beep", "beep_timeout": 45},
}
placed = vonage.voice.create_call(CreateCallRequest(**talking))
told = []
while "answered" not in told:
    token, body = Webhook.came.get(timeout=20)
    told.append(json.loads(body).get("status"))
assert vonage.voice.get_call(placed.uuid).status == "answered"
assert vonage.voice.play_dtmf_into_call(placed.uuid, "12#").uuid == placed.uuid
assert vonage.voice.play_tts_into_call(placed.uuid, TtsStreamOptions(text="Hello.")).message == "Talk started"
assert vonage.voice.stop_tts(placed.uuid).message == "Talk stopped"
vonage.voice.earmuff(placed.uuid)
vonage.voice.unearmuff(placed.uuid)
vonage.voice.unmute(placed.uuid)
vonage.voice.transfer_call_ncco(placed.uuid, [Conversation(name="another room")])
an_hour = timedelta(hours=1)
now = datetime.now(timezone.utc).replace(microsecond=0)
window = ListCallsFilter(date_start=(now - an_hour).isoformat(), date_end=(now + an_hour).isoformat(), order="asc")
calls, _ = vonage.voice.list_calls(window)
assert placed.uuid in [it.uuid for it in calls], calls
assert vonage.voice.list_calls(ListCallsFilter(date_start=(now + an_hour).isoformat()))[0] == []
vonage.voice.hangup(placed.uuid)
while "completed" not in told:
    token, body = Webhook.came.get(timeout=20)
    told.append(json.loads(body).get("status"))
ended = vonage.voice.get_call(placed.uuid)
assert ended.status == "completed" and ended.duration is not None and ended.price is not None, ended

nobody = request | {"to": [{"type": "phone", "number": "1"}]}
refused = expect(HttpRequestError, lambda: vonage.voice.create_call(CreateCallRequest(**nobody)))
assert refused.response.status_code == 400, refused

# Those who may not ask.
expect(AuthenticationError, client(key=other_key_file).voice.list_calls)
expect(AuthenticationError, client(secret="wrong").account.get_balance)
expect(AuthenticationError, lambda: client(secret="wrong").application.get_application(application_id))
expect(AuthenticationError, client(secret="wrong").numbers.list_owned_numbers)
