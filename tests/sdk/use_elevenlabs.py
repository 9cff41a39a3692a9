"""Talks to an ElevenLabs server with ElevenLabs' own SDK.

usage: use_elevenlabs.py BASE_URL KEY VOICE_ID

BASE_URL is https with a certificate that SSL_CERT_FILE vouches for: the SDK's socket is always wss.
"""

import sys

from elevenlabs import VoiceSettings
from elevenlabs.client import ElevenLabs
from elevenlabs.core.api_error import ApiError
from elevenlabs.core.request_options import RequestOptions

base_url, key, voice = sys.argv[1:]
MODEL = "eleven_flash_v2_5"
TEXT = "Hello there, this is Trunkline. How can I help you today?"
ONCE = RequestOptions(max_retries=0)

client = ElevenLabs(base_url=base_url, api_key=key, timeout=20)


def valid(answer):
    """The SDK takes what comes without looking; this looks."""
    return type(answer).model_validate(answer.model_dump(exclude_unset=True))


def refused(status, call):
    try:
        call()
    except ApiError as error:
        assert error.status_code == status, error
        return error
    raise AssertionError(f"nothing was refused with {status}")


def loud(ulaw):
    """Whether something is audible: µ-law's two silences are 0xff and 0x7f."""
    return sum(sample & 0x7F != 0x7F for sample in ulaw) > len(ulaw) // 4


def seconds(audio, per_second):
    return len(audio) / per_second


def lists():
    assert voice in [valid(it).voice_id for it in client.voices.get_all().voices]
    assert valid(client.voices.get(voice)).voice_id == voice
    found, token = [], None
    while True:
        page = valid(client.voices.search(page_size=1, next_page_token=token, include_total_count=True))
        found += [it.voice_id for it in page.voices]
        if not page.has_more:
            break
        token = page.next_page_token
    assert voice in found and len(found) == len(set(found)) == page.total_count, found
    assert MODEL in [valid(it).model_id for it in client.models.list()]
    subscription = valid(client.user.subscription.get())
    assert subscription.character_count <= subscription.character_limit, subscription


def requests():
    settings = VoiceSettings(stability=0.5, similarity_boost=0.75, speed=1.0)
    common = dict(text=TEXT, model_id=MODEL, voice_settings=settings, request_options=ONCE)
    ulaw = b"".join(client.text_to_speech.convert(voice, output_format="ulaw_8000", **common))
    assert 1 < seconds(ulaw, 8000) < 60 and loud(ulaw), len(ulaw)
    pcm = b"".join(client.text_to_speech.stream(voice, output_format="pcm_16000", **common))
    assert abs(seconds(pcm, 32000) - seconds(ulaw, 8000)) < 0.5, (len(pcm), len(ulaw))
    timed = list(client.text_to_speech.stream_with_timestamps(voice, output_format="pcm_16000", **common))
    spoken = "".join("".join(chunk.alignment.characters) for chunk in timed if chunk.alignment)
    assert spoken.strip() == TEXT, spoken


def realtime():
    pieces = iter(["Hello there, ", "this is ", "Trunkline. ", "How can I help ", "you today?"])
    audio = client.text_to_speech.convert_realtime(voice, text=pieces, model_id=MODEL, output_format="ulaw_8000")
    chunks = list(audio)
    whole = b"".join(chunks)
    assert len(chunks) > 1 and 1 < seconds(whole, 8000) < 60 and loud(whole), (len(chunks), len(whole))


def refusals():
    wrong = ElevenLabs(base_url=base_url, api_key="wrong-key", timeout=20)
    error = refused(401, lambda: wrong.voices.get_all(request_options=ONCE))
    assert error.body["detail"]["status"] == "invalid_api_key", error
    refused(401, lambda: list(wrong.text_to_speech.convert(voice, text=TEXT, request_options=ONCE)))
    error = refused(404, lambda: list(client.text_to_speech.convert("nobody", text=TEXT, request_options=ONCE)))
    assert "voice" in str(error.body["detail"]), error
    try:
        list(wrong.text_to_speech.convert_realtime(voice, text=iter(["Hello."]), model_id=MODEL))
    except Exception as error:  # the SDK lets the socket library's own error through
        assert "401" in str(error) or "403" in str(error), error
    else:
        raise AssertionError("a wrong key was let in")


for part in (lists, refusals, requests, realtime):
    part()
