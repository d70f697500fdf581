#!/usr/bin/env bash
# A Retry-After date that has passed makes npm ky 1.14.3 and got 14.6.6 spend all their retries at once, with no backoff.
#
# Both back off (0.3 s, 0.6 s; 1 s, 2 s) when the field is absent. A date that is a second old, because two clocks differ,
# turns that into "now", three times within a fraction of a second, exactly when the server is overloaded.
# PyPI urllib3 2.8.0 does the same. A server does better with seconds than with a date.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
npm init -y >/dev/null
npm install --ignore-scripts --no-audit --no-fund --silent ky@1.14.3 got@14.6.6
python3 -m venv env && env/bin/pip install -q --disable-pip-version-check urllib3==2.8.0
cat > try.py <<'PY'
import sys, urllib3
try:
    urllib3.PoolManager().request("GET", sys.argv[1], retries=urllib3.Retry(2))
except urllib3.exceptions.MaxRetryError:
    pass
PY
cat > try.mjs <<'JS'
import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import { promisify } from 'node:util';
import got from 'got';
import ky from 'ky';
let calls = [];
const server = createServer((_, answer) => {
  calls.push(Date.now());
  answer.writeHead(503, { 'retry-after': 'Wed, 21 Oct 2015 07:28:00 GMT' }).end();
}).listen(0, '127.0.0.1', async () => {
  const url = `http://127.0.0.1:${server.address().port}/`;
  const clients = {
    ky: () => ky(url, { retry: 2 }),
    got: () => got(url, { retry: { limit: 2 } }),
    urllib3: () => promisify(execFile)('env/bin/python', ['try.py', url]),
  };
  for (const [name, call] of Object.entries(clients)) {
    calls = [];
    await call().catch(() => {});
    // The backoff alone would be 0.9 s or more.
    console.log(name, calls.length, 'calls,', calls.at(-1) - calls[0] < 400 ? 'no backoff' : 'with backoff');
  }
  server.close();
});
JS
node try.mjs | tee seen
diff - seen <<'SEEN'
ky 3 calls, no backoff
got 3 calls, no backoff
urllib3 3 calls, no backoff
SEEN
