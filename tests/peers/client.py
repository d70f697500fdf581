"""Calls an API through a client that openapi-python-client made; prints what came back."""
import json
import sys

given = json.loads(sys.argv[1])
# Where the client was made.
sys.path.insert(0, ".")

from made import AuthenticatedClient  # noqa: E402
from made.api.consumer import call  # noqa: E402

client = AuthenticatedClient(
    base_url=given["base"], token=given["key"], prefix="", auth_header_name="X-Consumer-Key"
)
body = given["body"]
if given["has_schema"]:
    from made.models.call import Call

    body = Call.from_dict(body)
where = [] if given["api"] is None else given["api"].split("/")
headers = {} if given["webhook_url"] is None else {"ripost_webhook_url": given["webhook_url"]}
answer = call.sync_detailed(*where, client=client, body=body, **headers)
parsed = answer.parsed.to_dict() if answer.parsed else None
print(json.dumps({"openapi-python-client": {"status": answer.status_code, "body": parsed}}))
