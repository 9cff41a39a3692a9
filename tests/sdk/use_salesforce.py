"""Uses a Salesforce organization by simple-salesforce, which trusts the authority of REQUESTS_CA_BUNDLE for it.

usage: use_salesforce.py LOGIN_URL CLIENT_ID CLIENT_SECRET KEY_FILE USERNAME

The organization has a contact "Ann Lee" with the mobile number (415) 555-0123. KEY_FILE signs assertions for USERNAME. A session
is over after three requests.
"""

import sys

import requests
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import (
    SalesforceAuthenticationFailed,
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceResourceNotFound,
)

login_url, client_id, client_secret, key_file, username = sys.argv[1:]


class AtTheServer(HTTPAdapter):
    """Sends what is meant for Salesforce's own hosts to the server, with the name of the host it was meant for."""

    def send(self, request, **options):
        host, path = request.url.removeprefix("https://").split("/", 1)
        request.headers["Host"] = host
        request.url = f"{login_url}/{path}"
        return super().send(request, **options)


def session():
    session = requests.Session()
    for host in ("acme.my", "login", "test"):
        session.mount(f"https://{host}.salesforce.com/", AtTheServer())
    return session


def expect(error, call):
    try:
        call()
    except error as raised:
        return raised
    raise AssertionError(f"no {error.__name__}")


def by_credentials(**changes):
    options = {"consumer_key": client_id, "consumer_secret": client_secret, "domain": "acme.my"} | changes
    return Salesforce(session=session(), version="66.0", **options)


# By client credentials; sessions that are over are renewed on the way.
org = by_credentials()
assert f"https://{org.sf_instance}" == login_url, org.sf_instance
assert org.limits()["DailyApiRequests"]["Max"] > 0
found = org.restful(
    "parameterizedSearch",
    {"q": "4155550123", "in": "PHONE", "sobject": "Contact", "Contact.fields": "Id,Name", "Contact.limit": 5},
)
[ann] = found["searchRecords"]
assert ann["Name"] == "Ann Lee" and ann["attributes"]["type"] == "Contact", ann
made = org.Task.create(
    {
        "Subject": "Call",
        "Status": "Completed",
        "TaskSubtype": "Call",
        "WhoId": ann["Id"],
        "CallType": "Inbound",
        "CallDurationInSeconds": 183,
    }
)
assert made["success"] and not made["errors"], made
first = org.session_id
assert org.Task.update(made["id"], {"CallDisposition": "Resolved by agent"}) == 204
task = org.Task.get(made["id"])
assert task["CallDisposition"] == "Resolved by agent" and task["IsClosed"], task
assert org.session_id != first, "the session was never over"
fields = {field["name"] for field in org.Contact.describe()["fields"]}
assert {"Phone", "MobilePhone", "LastName"} <= fields, fields
assert org.api_usage["api-usage"].used > 0
assert {it["name"] for it in org.describe()["sobjects"]} >= {"Contact", "Lead", "Task"}

# Errors of records.
missing = expect(SalesforceMalformedRequest, lambda: org.Lead.create({"LastName": "Ray"}))
assert missing.content[0]["errorCode"] == "REQUIRED_FIELD_MISSING" and missing.content[0]["fields"] == ["Company"], missing
expect(SalesforceResourceNotFound, lambda: org.Contact.get("003000000000000AAA"))
assert org.Task.delete(made["id"]) == 204

# By an assertion.
by_assertion = Salesforce(
    username=username, consumer_key=client_id, privatekey_file=key_file, session=session(), version="66.0"
)
assert by_assertion.Contact.get(ann["Id"])["MobilePhone"] == "(415) 555-0123"

# A token of one's own, which nothing renews.
direct = Salesforce(instance_url=login_url, session_id=by_credentials().session_id, session=session(), version="66.0")
assert [direct.limits() is not None for _ in range(3)] == [True] * 3
expired = expect(SalesforceExpiredSession, direct.limits)
assert expired.content[0]["errorCode"] == "INVALID_SESSION_ID", expired

# Errors of those who ask for tokens.
refused = expect(SalesforceAuthenticationFailed, lambda: by_credentials(consumer_secret="wrong"))
assert refused.code == "invalid_client", refused
refused = expect(
    SalesforceAuthenticationFailed,
    lambda: Salesforce(
        username="stranger@example.com", consumer_key=client_id, privatekey_file=key_file, session=session()
    ),
)
assert refused.code == "invalid_grant" and "approved" in str(refused), refused
