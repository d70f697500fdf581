#!/usr/bin/env bash
# npm cloudevents 10.0.0: HTTP.toEvent of a structured event loses `data` that is 0, false or "" (undefined instead).
#
# Other scalars and an empty array arrive. PyPI cloudevents 2.2.0 keeps all of them, so one event means two things.
# Who meets it: APIs whose bare result is a count or a yes/no, delivered as CloudEvents.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
npm init -y >/dev/null
npm install --ignore-scripts --no-audit --no-fund --silent cloudevents@10.0.0
python3 -m venv env && env/bin/pip install -q --disable-pip-version-check cloudevents==2.2.0
cat > try.mjs <<'JS'
import { HTTP } from 'cloudevents';
for (const data of [42, 0, true, false, 'text', '', []]) {
  const body = JSON.stringify({ specversion: '1.0', id: '1', source: '/s', type: 't', datacontenttype: 'application/json', data });
  const event = HTTP.toEvent({ headers: { 'content-type': 'application/cloudevents+json' }, body });
  console.log('npm ', JSON.stringify(data), '->', event.data === undefined ? 'undefined' : JSON.stringify(event.data));
}
JS
cat > try.py <<'PY'
import json
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
for data in [42, 0, True, False, "text", "", []]:
    body = json.dumps(dict(specversion="1.0", id="1", source="/s", type="t", datacontenttype="application/json", data=data))
    event = from_http_event(HTTPMessage(headers={"content-type": "application/cloudevents+json"}, body=body.encode()))
    print("PyPI", json.dumps(data), "->", json.dumps(event.get_data()))
PY
{ node try.mjs; env/bin/python try.py; } | tee seen
diff - seen <<'SEEN'
npm  42 -> 42
npm  0 -> undefined
npm  true -> true
npm  false -> undefined
npm  "text" -> "text"
npm  "" -> undefined
npm  [] -> []
PyPI 42 -> 42
PyPI 0 -> 0
PyPI true -> true
PyPI false -> false
PyPI "text" -> "text"
PyPI "" -> ""
PyPI [] -> []
SEEN
