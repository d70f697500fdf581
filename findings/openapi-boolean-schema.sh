#!/usr/bin/env bash
# A property whose schema is `true` (valid in OpenAPI 3.1) makes no client in one generator and vanishes in another.
#
# `true` and `{}` mean the same, and openapi-typescript 7.13.0 treats them so. npm @hey-api/openapi-ts 0.99.0 leaves the
# property out of the type, without a word, though it is required. PyPI openapi-python-client 0.29.1 refuses the whole
# document because of one `true` anywhere in it. schemars 1 writes `true` for "any value": write `{}`.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
npm init -y >/dev/null
npm install --ignore-scripts --no-audit --no-fund --silent @hey-api/openapi-ts@0.99.0 openapi-typescript@7.13.0 typescript@5.9.3
python3 -m venv env && env/bin/pip install -q --disable-pip-version-check openapi-python-client==0.29.1
cat > api.yaml <<'YAML'
openapi: 3.1.0
info: { title: t, version: "1" }
paths:
  /order: { get: { operationId: getOrder, responses: { "200": { description: d, content: { application/json: { schema: { $ref: "#/components/schemas/Order" } } } } } } }
components:
  schemas:
    Order: { type: object, required: [id, anyTrue, anyEmpty], properties: { id: { type: string }, anyTrue: true, anyEmpty: {} } }
YAML
fields() { grep -oE '(id|anyTrue|anyEmpty): (string|unknown)' "$1" | sort -u | tr '\n' ';'; echo; }
{
  npx openapi-typescript api.yaml -o types.ts >/dev/null 2>&1
  echo "openapi-typescript: $(fields types.ts)"
  npx openapi-ts -i ./api.yaml -o client >/dev/null 2>&1
  echo "hey-api: $(fields client/types.gen.ts)"
  env/bin/openapi-python-client generate --path api.yaml --output-path python >python.log 2>&1 && code=0 || code=$?
  echo "openapi-python-client: exit $code, $(grep -o 'Input should be a valid dictionary or instance of Schema' python.log)"
} | tee seen
diff - seen <<'SEEN'
openapi-typescript: anyEmpty: unknown;anyTrue: unknown;id: string;
hey-api: anyEmpty: unknown;id: string;
openapi-python-client: exit 1, Input should be a valid dictionary or instance of Schema
SEEN
