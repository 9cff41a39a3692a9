"""Lets Schemathesis name things that are there. Else nearly every request with an id would be answered 404."""

import json
import os
import random
import re

import schemathesis
from schemathesis.core.failures import Failure

with open(os.environ["CONTRACT_IDS"], encoding="utf-8") as file:
    IDS = json.load(file)
NOBODY = os.environ["CONTRACT_AS"] == "nobody"

# Keys of bodies and queries that name something, by what stands before its id in a path.
NAMES = {
    "agent_id": "/v1/voice-agents/",
    "credential_id": "/v1/integrations/credentials/",
    "integrations": "/v1/integrations/installed/",
}
# What goes together in a body: credentials that would be kept, or installed; the carrier's account and its number.
CREDENTIALS, INSTALLABLE, ACCOUNT, NUMBER = (IDS.pop(key) for key in ("credentials", "installable", "account", "number"))


@schemathesis.hook
def before_call(context, case, kwargs):
    text = repr((case.method, case.path, case.path_parameters, case.query, case.body))
    draw = random.Random(text)
    # Addresses that fail too often are held off, and that is not what is tried here: each request comes through a proxy from its own.
    case.headers["X-Forwarded-For"] = ".".join(map(str, draw.randbytes(4)))
    mode = case.meta.generation.mode if case.meta else None
    if mode is None or mode.is_negative:
        return
    # One in five keeps an id that names nothing.
    if case.path_parameters and draw.randrange(5):
        for name in case.path_parameters:
            known = IDS.get(case.path.split("{" + name + "}")[0])
            if known:
                # The first stays; others are there to be removed.
                last = case.method == "DELETE" and len(known) > 1
                case.path_parameters[name] = known.pop() if last else known[0]
    if isinstance(case.body, dict):
        for key, prefix in NAMES.items():
            known = IDS.get(prefix)
            if known and case.body.get(key):
                case.body[key] = known[:1] if isinstance(case.body[key], list) else known[0]
        match (case.method, case.path):
            case ("POST", "/v1/integrations/credentials"):
                case.body |= draw.choice(CREDENTIALS)
            case ("POST", "/v1/integrations/install") if draw.randrange(3):
                case.body |= draw.choice(INSTALLABLE)
            case ("PATCH", "/v1/integrations/credentials/{id}") if case.body.get("credentials"):
                case.body["credentials"] = ACCOUNT
            # Names are resolved, and this machine may have nobody to ask. Nobody listens here.
            case ("POST" | "PATCH", "/v1/webhooks" | "/v1/webhooks/{id}") if case.body.get("url") and draw.randrange(3):
                case.body["url"] = "http://127.0.0.1:65535/hook"
            case ("POST", "/v1/phone-numbers"):
                case.body |= {"provider": "twilio", "phone_number": NUMBER}


# What a schema cannot say, and a request that satisfies its schema may be refused for: the field, and what is said of it.
RULES = [
    ("page", "pages beyond the first"),
    (r"credentials\.\w+", "is required|is not a field of a credential of|must "),
    ("credential_type", "."),
    ("credential_id", "is a credential of"),
    ("phone_number", "is not a number that the credential's account owns"),
    (r"integrations\[\d+\]", "is not the id of an installed integration"),
    (r"date_(from|to)", "must be a date such as"),
    (r"call_config\.voicemail\.message", "is required by the action leave_message"),
    (r"ai_config\.temperature", "must be between 0 and 1"),
    (r"tools\[\d+\]\.parameters\.type", "must be \"object\""),
    (r".*", r"U\+0000"),
    ("expires_at", "must be in the future"),
    ("email", "must be an e-mail address"),
    (r".*\.max_endpoint_ms", "must not be less than min_endpoint_ms"),
    (r"tools\[\d+\]\.name|.*\[\d+\]\.name", "is used by an earlier entry"),
    ("kind", "need a conversation"),
    ("target", "the name of one of the agent's targets"),
    ("from_number", "is not a confirmed number|is needed"),
    ("phone_number", "is the number that would call"),
    ("text", "that are not blank"),
    ("url", "cannot be told anything"),
    (r"(contacts\[\d+\]\.)?timezone", "must be a time zone's name"),
    ("header", "must (name|not name|be UTF-8)"),
    ("events", "must not name an event twice"),
    (r"analysis_config\.extraction_schema.*", "."),
]


class NoRule(Failure):
    """A request was refused for something that its schema should say."""


@schemathesis.check
def refused_by_a_rule(context, response, case):
    """A request that satisfies its schema is refused for rules alone that no schema can say."""
    if response.status_code != 422 or case.meta is None or case.meta.generation.mode.is_negative:
        return
    for refusal in (response.json()["details"] or {}).get("fields", [{"field": "", "message": "no fields"}]):
        field, message = refusal["field"], refusal["message"]
        if not any(re.fullmatch(where, field) and re.search(what, message) for where, what in RULES):
            raise NoRule(
                operation=case.operation.label,
                title="Refused for something that the schema does not say",
                message=f"{field}: {message}",
            )


class LetIn(Failure):
    """Somebody without a token was answered something other than that."""


@schemathesis.check
def nobody_is_let_in(context, response, case):
    """Before anything else is looked at, a request without a token is refused."""
    if not NOBODY or not case.operation.definition.raw.get("security") or response.request.method == "OPTIONS":
        return
    # 405: the path is everybody's to know. 429: who fails too often.
    if response.status_code not in (401, 405, 429) and not re.search(r"%|//|\.\.", response.request.url.split("/v1", 1)[1]):
        raise LetIn(
            operation=case.operation.label,
            title="Answered without a token",
            message=f"{response.status_code} instead of 401",
        )
