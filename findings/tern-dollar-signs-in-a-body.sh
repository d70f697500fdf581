#!/usr/bin/env bash
# npm @hookflo/tern 4.1.0 refuses a correctly signed webhook when its body has `$$`, `$&` or `$'`.
#
# It builds the signed text with String.replace("{body}", body), and JavaScript expands `$` patterns in the replacement.
# A lone `$5` is left alone, so a test with a price in dollars does not show it.
# Who meets it: receivers of JSON with shell text, regular expressions or templates in it. The sender sees 4xx for ever.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
npm init -y >/dev/null
npm install --ignore-scripts --no-audit --no-fund --silent @hookflo/tern@4.1.0
cat > try.mjs <<'JS'
import { createHmac } from 'node:crypto';
import { WebhookVerificationService } from '@hookflo/tern';
const key = Buffer.from('0123456789abcdef0123456789abcdef');
for (const body of ['{"a":"plain"}', '{"a":"costs $5"}', '{"a":"pid $$"}', '{"a":"$&"}', `{"a":"$'"}`]) {
  const id = 'msg_1', time = String(Math.floor(Date.now() / 1000));
  const signature = createHmac('sha256', key).update(`${id}.${time}.${body}`).digest('base64');
  const headers = { 'webhook-id': id, 'webhook-timestamp': time, 'webhook-signature': `v1,${signature}` };
  const request = new Request('http://localhost/', { method: 'POST', body, headers });
  const seen = await WebhookVerificationService.verify(request, {
    platform: 'replicateai', // Standard Webhooks under another name
    secret: `whsec_${key.toString('base64')}`,
  });
  console.log(body, seen.isValid ? 'valid' : seen.error);
}
JS
node try.mjs | tee seen
diff - seen <<'SEEN'
{"a":"plain"} valid
{"a":"costs $5"} valid
{"a":"pid $$"} Invalid signature
{"a":"$&"} Invalid signature
{"a":"$'"} Invalid signature
SEEN
