"""Talks to a Deepgram server with Deepgram's own SDK: live with Nova and with Flux, and with a recording.

usage: use_deepgram.py HTTP_URL WS_URL KEY WAV TRANSCRIPT
"""

import sys
import threading
import time
import wave

from deepgram import DeepgramClient
from deepgram.core.api_error import ApiError
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment
from websockets.exceptions import InvalidStatus

http_url, ws_url, key, wav, transcript = sys.argv[1:]
environment = DeepgramClientEnvironment(base=http_url, production=ws_url, agent=ws_url, agent_rest=http_url)

with wave.open(wav) as recording:
    assert (recording.getnchannels(), recording.getsampwidth()) == (1, 2)
    rate = recording.getframerate()
    # Enough silence behind it for every end of speech to be noticed.
    audio = recording.readframes(recording.getnframes()) + bytes(2 * 2 * rate)


def client(with_key=key):
    return DeepgramClient(api_key=with_key, environment=environment, timeout=20)


def valid(message):
    """The SDK takes what comes without looking; this looks."""
    return type(message).model_validate(message.model_dump(exclude_unset=True))


def live(connect, chunk_ms, finish, **parameters):
    """Sends the audio at the rate it was spoken at, and gives every message that came back, checked."""
    messages, errors = [], []
    with connect(encoding="linear16", sample_rate=rate, **parameters) as connection:
        connection.on(EventType.MESSAGE, messages.append)
        connection.on(EventType.ERROR, errors.append)
        listening = threading.Thread(target=connection.start_listening, daemon=True)
        listening.start()
        size = rate * 2 * chunk_ms // 1000
        start = time.monotonic()
        for n, at in enumerate(range(0, len(audio), size)):
            time.sleep(max(0.0, start + n * chunk_ms / 1000 - time.monotonic()))
            connection.send_media(audio[at : at + size])
        finish(connection)
        listening.join(timeout=20)
        assert not listening.is_alive(), "the server did not close the socket"
    assert not errors, errors
    return [valid(message) for message in messages]


def nova():
    def finish(connection):
        connection.send_keep_alive()
        connection.send_finalize()
        connection.send_close_stream()

    parameters = dict(model="nova-3", interim_results="true", endpointing="300", utterance_end_ms="1000", vad_events="true")
    messages = live(client().listen.v1.connect, 20, finish, **parameters)
    kinds = [message.type for message in messages]
    assert kinds[-1] == "Metadata" and kinds.count("Metadata") == 1, kinds
    assert abs(messages[-1].duration - len(audio) / 2 / rate) < 0.05, messages[-1]
    assert "SpeechStarted" in kinds and "UtteranceEnd" in kinds, kinds
    results = [message for message in messages if message.type == "Results"]
    assert any(not result.is_final and result.channel.alternatives[0].transcript for result in results), "no interim result"
    finals = [result for result in results if result.is_final]
    assert any(result.speech_final for result in finals), "no pause was noticed"
    said = " ".join(result.channel.alternatives[0].transcript for result in finals)
    assert said.split() == transcript.split(), said
    words = [word for result in finals for word in result.channel.alternatives[0].words]
    assert [word.word for word in words] == transcript.split()
    assert all(a.start < a.end <= b.start + 0.001 for a, b in zip(words, words[1:])), words
    assert all(0 < word.confidence <= 1 for word in words), words
    assert len({result.metadata.request_id for result in results}) == 1


def flux():
    # Turns end by themselves in the silence behind the words.
    finish = lambda connection: connection.send_close_stream()
    messages = live(client().listen.v2.connect, 80, finish, model="flux-general-en", eager_eot_threshold="0.4", eot_threshold="0.7")
    assert messages[0].type == "Connected", messages[0]
    assert [message.sequence_id for message in messages] == list(range(len(messages)))
    turns = [message for message in messages if message.type == "TurnInfo"]
    events = [turn.event for turn in turns if turn.event != "Update"]
    ends = [turn for turn in turns if turn.event == "EndOfTurn"]
    assert events[0] == "StartOfTurn" and ends, events
    assert " ".join(end.transcript for end in ends).split() == transcript.split(), ends
    assert [end.turn_index for end in ends] == list(range(len(ends)))
    assert all(end.trigger for end in ends) and all(not turn.trigger for turn in turns if turn.event != "EndOfTurn")
    eager = [turn for turn in turns if turn.event == "EagerEndOfTurn"]
    assert eager and eager[-1].transcript == ends[-1].transcript, "no early guess, or another one than the end"


def recording():
    with open(wav, "rb") as file:
        response = client().listen.v1.media.transcribe_file(request=file.read(), model="nova-3")
    response = valid(response)
    [channel] = response.results.channels
    assert channel.alternatives[0].transcript.split() == transcript.split(), channel
    assert response.metadata.channels == 1 and response.metadata.duration > 1, response.metadata


def account():
    assert client().manage.v1.projects.list().projects
    granted = client().auth.v1.tokens.grant()
    by_token = DeepgramClient(access_token=granted.access_token, environment=environment)
    with open(wav, "rb") as file:
        assert by_token.listen.v1.media.transcribe_file(request=file.read(), model="nova-3").results.channels


def refusals():
    wrong = client("wrong-key")
    try:
        with wrong.listen.v1.connect(model="nova-3", encoding="linear16", sample_rate=rate):
            raise AssertionError("a wrong key was let in")
    except InvalidStatus as error:  # the SDK lets the socket library's own error through
        assert error.response.status_code == 401, error
        assert error.response.headers["dg-error"] and error.response.headers["dg-request-id"], error.response.headers
    try:
        wrong.manage.v1.projects.list()
    except ApiError as error:
        assert error.status_code == 401 and error.body["err_code"] == "INVALID_AUTH", error
    else:
        raise AssertionError("a wrong key was let in")
    try:
        client().listen.v1.media.transcribe_file(request=b"RIFF", model="no-such-model")
    except ApiError as error:
        assert error.status_code == 400 and error.body["err_code"], error
    else:
        raise AssertionError("a model that there is not was used")


for part in (account, refusals, recording, nova, flux):
    part()
