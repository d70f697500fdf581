#!/usr/bin/env bash
# npm orval 8.38.0 (client `fetch`): a request body that has a second media type loses its Content-Type.
#
# With `application/json` alone the generated call sends that header. With `text/plain` beside it the call still writes
# the body with JSON.stringify, and sends `text/plain;charset=UTF-8`, which is what fetch puts beside a string.
# Who meets it: APIs that take JSON and something else, and read the body by its type.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
npm init -y >/dev/null
npm install --ignore-scripts --no-audit --no-fund --silent orval@8.38.0 esbuild-wasm@0.25.0
document() {
  printf '{"openapi":"3.1.0","info":{"title":"t","version":"1"},"paths":{"/call":{"post":{"operationId":"call","requestBody":{"required":true,"content":{"application/json":{"schema":{"type":"object","properties":{"n":{"type":"integer"}}}}%s}},"responses":{"204":{"description":"done"}}}}}}' "$1"
}
document '' > one.json
document ',"text/plain":{"schema":{"type":"string"}}' > two.json
cat > try.mjs <<'JS'
globalThis.fetch = async (_, init) => {
  const sent = new Request('http://localhost/call', init);
  console.log(`${process.argv[2]}: ${sent.headers.get('content-type')}, body ${await sent.text()}`);
  return new Response(null, { status: 204 });
};
const { call } = await import(`./${process.argv[2]}.mjs`);
await call({ n: 1 });
JS
for name in one two; do
  npx orval --input "./$name.json" --output "./$name.ts" --client fetch >/dev/null
  npx esbuild "$name.ts" --outfile="$name.mjs" --log-level=error
  node try.mjs "$name"
done | tee seen
diff - seen <<'SEEN'
one: application/json, body {"n":1}
two: text/plain;charset=UTF-8, body {"n":1}
SEEN
