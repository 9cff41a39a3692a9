"""Talks to an Anthropic server with Anthropic's own SDK.

usage: use_anthropic.py BASE_URL KEY

The server's model is expected to answer "hello" with "Hello there, caller.", to call get_weather({"city": "Oslo"}) when it is offered
and asked for the weather, and to answer that tool's result with its "sky" in a sentence. After five requests for messages it refuses
one with 429 and one with 529, and breaks off the next with an error inside the stream.
"""

import sys

import anthropic

base_url, key = sys.argv[1:]
client = anthropic.Anthropic(base_url=base_url, api_key=key, max_retries=0, timeout=20)

MODEL = "claude-haiku-4-5"
WEATHER = {
    "name": "get_weather",
    "description": "Tells the weather.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def expect(error, call):
    try:
        call()
    except error as raised:
        assert type(raised) is error, f"{type(raised)} is not exactly {error}"
        return raised
    raise AssertionError(f"no {error.__name__}")


# Models, over a border between pages.
models = [model.id for model in client.models.list(limit=2)]
assert len(models) > 2 and "claude-haiku-4-5-20251001" in models, models
model = client.models.retrieve(MODEL)
assert model.display_name == "Claude Haiku 4.5" and model.created_at.year == 2025, model
expect(anthropic.NotFoundError, lambda: client.models.retrieve("claude-none"))

# An answer in tokens, through the SDK's own assembly of the stream.
with client.messages.stream(
    model=MODEL, max_tokens=100, system="Be brief.", messages=[{"role": "user", "content": "Hello?"}]
) as stream:
    text = list(stream.text_stream)
    message = stream.get_final_message()
assert "".join(text) == "Hello there, caller." and len(text) > 1, text
assert message.stop_reason == "end_turn" and message.content[0].text == "Hello there, caller.", message
assert message.usage.output_tokens == len(text) and message.usage.input_tokens > 0, message.usage

# A tool call in a stream, then the answer to its result.
messages = [{"role": "user", "content": "What is the weather?"}]
with client.messages.stream(model=MODEL, max_tokens=100, messages=messages, tools=[WEATHER]) as stream:
    message = stream.get_final_message()
[call] = message.content
assert message.stop_reason == "tool_use" and call.name == "get_weather" and call.input == {"city": "Oslo"}, message
messages += [
    {"role": "assistant", "content": message.content},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": '{"sky": "clear"}'}]},
]
whole = client.messages.create(model=MODEL, max_tokens=100, messages=messages, tools=[WEATHER])
assert whole.content[0].text == "It is clear.", whole

# Errors of the request itself.
missing = expect(
    anthropic.BadRequestError,
    lambda: client.messages.create(model=MODEL, max_tokens=100, messages=messages[:2], tools=[WEATHER]),
)
assert call.id in missing.message, missing


def hello(stream=False):
    return client.messages.create(
        model=MODEL, max_tokens=100, messages=[{"role": "user", "content": "Hello"}], stream=stream
    )


unknown = expect(
    anthropic.NotFoundError,
    lambda: client.messages.create(model="claude-none", max_tokens=9, messages=messages[:1]),
)
assert unknown.body["error"]["type"] == "not_found_error", unknown
bad_key = expect(anthropic.AuthenticationError, client.with_options(api_key="sk-ant-wrong").models.list)
assert bad_key.body["error"]["type"] == "authentication_error" and "sk-ant-wrong" not in str(bad_key), bad_key

limited = expect(anthropic.RateLimitError, hello)
assert limited.response.headers["retry-after"] == "1" and limited.request_id.startswith("req_"), limited
overloaded = expect(anthropic.OverloadedError, hello)
assert overloaded.status_code == 529, overloaded
broken = expect(anthropic.APIStatusError, lambda: list(hello(stream=True)))
assert broken.status_code == 200 and broken.body["error"]["type"] == "overloaded_error", broken
assert hello().content[0].text == "Hello there, caller."
