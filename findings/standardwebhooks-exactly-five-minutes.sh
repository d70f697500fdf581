#!/usr/bin/env bash
# A webhook that is exactly 300 s old: npm standardwebhooks 1.1.1 takes it, PyPI standardwebhooks 1.1.0 says it is too old.
#
# Both name five minutes as the tolerance. JavaScript compares whole seconds, Python its clock with microseconds, so a
# timestamp of 300 s ago is refused in Python at every moment but the first microsecond. A test of the edge that was
# written against one library fails against the other.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
npm init -y >/dev/null
npm install --ignore-scripts --no-audit --no-fund --silent standardwebhooks@1.1.1
python3 -m venv env && env/bin/pip install -q --disable-pip-version-check standardwebhooks==1.1.0
cat > try.mjs <<'JS'
import { Webhook } from 'standardwebhooks';
const webhook = new Webhook('whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=');
await new Promise((done) => setTimeout(done, 1100 - (Date.now() % 1000))); // well inside one second
for (const age of [299, 300, 301]) {
  const date = new Date((Math.floor(Date.now() / 1000) - age) * 1000);
  const headers = { 'webhook-id': 'msg_1', 'webhook-timestamp': String(date / 1000), 'webhook-signature': webhook.sign('msg_1', date, '{}') };
  try { webhook.verify('{}', headers); console.log('npm ', age, 'accepted'); } catch (error) { console.log('npm ', age, error.message); }
}
JS
cat > try.py <<'PY'
import time
from datetime import datetime, timezone
from standardwebhooks.webhooks import Webhook
webhook = Webhook("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
time.sleep(1.1 - time.time() % 1)  # well inside one second
for age in (299, 300, 301):
    second = int(time.time()) - age
    date = datetime.fromtimestamp(second, timezone.utc)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(second), "webhook-signature": webhook.sign("msg_1", date, "{}")}
    try:
        webhook.verify("{}", headers)
        print("PyPI", age, "accepted")
    except Exception as error:
        print("PyPI", age, error)
PY
{ node try.mjs; env/bin/python try.py; } | tee seen
diff - seen <<'SEEN'
npm  299 accepted
npm  300 accepted
npm  301 Message timestamp too old
PyPI 299 accepted
PyPI 300 Message timestamp too old
PyPI 301 Message timestamp too old
SEEN
