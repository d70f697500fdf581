"""Checks one webhook, given as JSON on standard input, with the public library of PyPI."""
import base64
import json
import sys

from standardwebhooks.webhooks import Webhook

given = json.load(sys.stdin)
payload = Webhook(given["secret"]).verify(base64.b64decode(given["body"]), given["headers"])
print("verified", payload["requestId"])
