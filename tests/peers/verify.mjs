// Checks one webhook, given as JSON on standard input, with the public library of npm.
import { Webhook } from 'standardwebhooks';

let text = '';
for await (const chunk of process.stdin) text += chunk;
const { secret, headers, body } = JSON.parse(text);
const payload = new Webhook(secret).verify(Buffer.from(body, 'base64').toString('utf8'), headers);
console.log('verified', payload.requestId);
