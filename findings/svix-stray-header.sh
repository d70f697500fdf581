#!/usr/bin/env bash
# npm svix 1.99.1 reads each `svix-*` header before its `webhook-*` twin, one by one: a stray `svix-id` breaks a good delivery.
#
# The library takes Standard Webhooks (`webhook-id`, `webhook-timestamp`, `webhook-signature`) as well as its own names.
# It does not choose one set; a proxy or an earlier hop that leaves one `svix-` header mixes the two, and the error
# speaks of the signature. npm standardwebhooks 1.1.1 takes the same request.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
npm init -y >/dev/null
npm install --ignore-scripts --no-audit --no-fund --silent svix@1.99.1 standardwebhooks@1.1.1
cat > try.mjs <<'JS'
import { createHmac } from 'node:crypto';
import { Webhook as Standard } from 'standardwebhooks';
import { Webhook as Svix } from 'svix';
const key = Buffer.from('0123456789abcdef0123456789abcdef');
const secret = `whsec_${key.toString('base64')}`;
const body = '{"a":1}', id = 'msg_1', time = String(Math.floor(Date.now() / 1000));
const signature = `v1,${createHmac('sha256', key).update(`${id}.${time}.${body}`).digest('base64')}`;
const good = { 'webhook-id': id, 'webhook-timestamp': time, 'webhook-signature': signature };
for (const [name, headers] of [['as signed', good], ['with a stray svix-id', { ...good, 'svix-id': 'msg_of_another_hop' }]]) {
  for (const [library, Webhook] of [['svix', Svix], ['standardwebhooks', Standard]]) {
    try {
      new Webhook(secret).verify(body, headers);
      console.log(name, library, 'accepted');
    } catch (error) {
      console.log(name, library, error.message);
    }
  }
}
JS
node try.mjs | tee seen
diff - seen <<'SEEN'
as signed svix accepted
as signed standardwebhooks accepted
with a stray svix-id svix No matching signature found
with a stray svix-id standardwebhooks accepted
SEEN
