"""Talks to an OpenAI server with OpenAI's own SDK.

usage: use_openai.py BASE_URL KEY

The server's model is expected to answer "hello" with "Hello there, caller.", to call get_weather({"city": "Oslo"}) when it is offered
and asked for the weather, and to answer that tool's result with its "sky" in a sentence. After five chat completions it refuses one
with 429 and one with 503, and breaks off the next with an error inside the stream.
"""

import json
import sys

import openai

base_url, key = sys.argv[1:]
client = openai.OpenAI(base_url=base_url, api_key=key, max_retries=0, timeout=20)

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def expect(error, call):
    try:
        call()
    except error as raised:
        assert type(raised) is error, f"{type(raised)} is not exactly {error}"
        return raised
    raise AssertionError(f"no {error.__name__}")


# Models.
models = [model.id for model in client.models.list()]
assert "gpt-4o-mini" in models, models

# An answer in tokens, with its usage at the end.
chunks = list(
    client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}],
        stream=True,
        stream_options={"include_usage": True},
    )
)
text = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
assert "".join(text) == "Hello there, caller.", text
assert len(text) > 1, "the answer came in one piece"
assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
usage = chunks[-1].usage
assert not chunks[-1].choices and usage.prompt_tokens > 0 and usage.completion_tokens == len(text), usage
assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens, usage
assert len({chunk.id for chunk in chunks}) == 1 and all(chunk.model == "gpt-4o-mini" for chunk in chunks)

# A tool call through the SDK's own assembly of the stream, then the answer to its result.
messages = [{"role": "user", "content": "What is the weather?"}]
with client.chat.completions.stream(model="gpt-4o-mini", messages=messages, tools=[WEATHER]) as stream:
    completion = stream.get_final_completion()
choice = completion.choices[0]
assert choice.finish_reason == "tool_calls", choice
[call] = choice.message.tool_calls
assert call.function.name == "get_weather" and json.loads(call.function.arguments) == {"city": "Oslo"}, call
function = {"name": call.function.name, "arguments": call.function.arguments}
messages += [
    {"role": "assistant", "tool_calls": [{"id": call.id, "type": "function", "function": function}]},
    {"role": "tool", "tool_call_id": call.id, "content": json.dumps({"sky": "clear"})},
]
whole = client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=[WEATHER])
assert whole.choices[0].message.content == "It is clear.", whole
assert whole.usage.total_tokens > 0

# Errors of the request itself, which the server tells from its own.
missing = expect(
    openai.BadRequestError,
    lambda: client.chat.completions.create(model="gpt-4o-mini", messages=messages[:2], tools=[WEATHER]),
)
assert call.id in missing.message, missing
unknown = expect(
    openai.NotFoundError,
    lambda: client.chat.completions.create(model="no-such-model", messages=[{"role": "user", "content": "Hello"}]),
)
assert unknown.code == "model_not_found", unknown
bad_key = expect(openai.AuthenticationError, client.with_options(api_key="sk-wrong").models.list)
assert bad_key.code == "invalid_api_key" and "sk-wrong" not in str(bad_key), bad_key


def hello():
    return client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "Hello"}])


limited = expect(openai.RateLimitError, hello)
assert limited.code == "rate_limit_exceeded" and limited.response.headers["retry-after"] == "1", limited
assert expect(openai.InternalServerError, hello).status_code == 503
broken = expect(
    openai.APIError,
    lambda: list(
        client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "Hello"}], stream=True
        )
    ),
)
assert broken.code == "server_error", broken
assert hello().choices[0].message.content == "Hello there, caller."
