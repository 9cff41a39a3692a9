"""Verifies a request of ours with the specification's own library, and signs one for our simulated receiver.

use_standardwebhooks.py <secret> <id> <timestamp> <signature> <body>
"""

import datetime
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

secret, identifier, timestamp, signature, body = sys.argv[1:]
headers = {"webhook-id": identifier, "webhook-timestamp": timestamp, "webhook-signature": signature}
webhook = Webhook(secret)

payload = webhook.verify(body, headers)
assert payload["type"] == "call.ended", payload


def refused(changed_body=body, **changes):
    try:
        webhook.verify(changed_body, headers | {key.replace("_", "-"): value for key, value in changes.items()})
    except WebhookVerificationError:
        return True
    return False


assert refused(body + " ")
assert refused(webhook_id="another")
assert refused(webhook_timestamp=str(int(timestamp) - 1))
assert refused(webhook_signature="v1,AAAA")

now = datetime.datetime.now(tz=datetime.timezone.utc)
print(int(now.timestamp()), webhook.sign("msg_1", now, '{"from": "the library"}'))
