"""Uses a Vonage account with Vonage's own SDK, which trusts the authority of REQUESTS_CA_BUNDLE for it.

usage: use_vonage.py HOST API_KEY API_SECRET APPLICATION_ID KEY_FILE OTHER_KEY_FILE NUMBER

HOST (with its port) stands for both of the vendor's hosts. NUMBER, without +, belongs to the application, whose tokens KEY_FILE signs.
"""

import sys
from pathlib import Path

from vonage import Auth, HttpClientOptions, Vonage
from vonage_http_client.errors import AuthenticationError, HttpRequestError, NotFoundError
from vonage_numbers import ListOwnedNumbersFilter
from vonage_voice import CreateCallRequest, Talk

host, api_key, api_secret, application_id, key_file, other_key_file, number = sys.argv[1:]


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
    "event_url": ["https://example.com/event"],
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
assert vonage.voice.get_call(placed.uuid).status == "cancelled"
expect(NotFoundError, lambda: vonage.voice.hangup(placed.uuid))
nobody = request | {"to": [{"type": "phone", "number": "1"}]}
refused = expect(HttpRequestError, lambda: vonage.voice.create_call(CreateCallRequest(**nobody)))
assert refused.response.status_code == 400, refused

# Those who may not ask.
expect(AuthenticationError, client(key=other_key_file).voice.list_calls)
expect(AuthenticationError, client(secret="wrong").account.get_balance)
expect(AuthenticationError, lambda: client(secret="wrong").application.get_application(application_id))
expect(AuthenticationError, client(secret="wrong").numbers.list_owned_numbers)
