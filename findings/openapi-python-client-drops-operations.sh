#!/usr/bin/env bash
# PyPI openapi-python-client 0.29.1 leaves out operations that it cannot read, warns, and exits with 0.
#
# Two valid forms do it: a body of `*/*`, and a `$ref` into the `$defs` of a component. A build that looks at the exit
# code ships a client without these calls; `--fail-on-warning` is the way to notice.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
python3 -m venv env && env/bin/pip install -q --disable-pip-version-check openapi-python-client==0.29.1
cat > api.yaml <<'YAML'
openapi: 3.1.0
info: { title: t, version: "1" }
paths:
  /json: { post: { operationId: sendJson, requestBody: { content: { application/json: { schema: { type: object } } } }, responses: { "204": { description: d } } } }
  /any: { post: { operationId: sendAny, requestBody: { content: { "*/*": { schema: { type: object } } } }, responses: { "204": { description: d } } } }
  /defs: { post: { operationId: sendDefs, requestBody: { content: { application/json: { schema: { $ref: "#/components/schemas/Order/$defs/Line" } } } }, responses: { "204": { description: d } } } }
components:
  schemas:
    Order: { type: object, $defs: { Line: { type: object, properties: { n: { type: integer } } } } }
YAML
{
  env/bin/openapi-python-client generate --meta none --path api.yaml --output-path client >log 2>&1 && code=0 || code=$?
  echo "exit $code"
  ls client/api/default | grep send
  grep -oE 'POST /[a-z]+ within default. Endpoint will not be generated' log
} | tee seen
diff - seen <<'SEEN'
exit 0
send_json.py
POST /any within default. Endpoint will not be generated
POST /defs within default. Endpoint will not be generated
SEEN
