// Checks the gateway's own signature of one webhook, given as JSON on standard input, with node's crypto alone.
import { createPublicKey, verify } from 'node:crypto';

let text = '';
for await (const chunk of process.stdin) text += chunk;
const { jwk, headers, body } = JSON.parse(text);
const key = createPublicKey({ key: jwk, format: 'jwk' });
const signed = Buffer.concat([
  Buffer.from(`${headers['webhook-id']}.${headers['webhook-timestamp']}.`),
  Buffer.from(body, 'base64'),
]);
const tokens = headers['webhook-signature'].split(' ').filter((token) => token.startsWith('v1a,'));
if (!tokens.some((token) => verify(null, signed, key, Buffer.from(token.slice(4), 'base64')))) {
  console.error('no v1a signature of that key');
  process.exit(1);
}
console.log('verified');
