#!/usr/bin/env bash
# npm ratelimit-header-parser 0.1.0 reads the newest RateLimit fields as NaN and Invalid Date, not as "no limit found".
#
# The form is that of draft-ietf-httpapi-ratelimit-headers since -08: lists of named items, `"default";r=50;t=30`.
# A client that waits until `reset`, or stops at `remaining < 1`, does neither: every comparison with NaN is false.
# npm structured-headers 2.1.0 reads the same field.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
npm init -y >/dev/null
npm install --ignore-scripts --no-audit --no-fund --silent ratelimit-header-parser@0.1.0 structured-headers@2.1.0
cat > try.mjs <<'JS'
import { parseRateLimit } from 'ratelimit-header-parser';
import { parseList } from 'structured-headers';
const show = (name, limit) => console.log(name, limit && [limit.limit, limit.remaining, String(limit.reset)].join(' '));
const newest = '"default";r=50;t=30';
show('newest:', parseRateLimit(new Headers({ 'RateLimit-Policy': '"default";q=100;w=60', RateLimit: newest })));
const older = parseRateLimit(new Headers({ RateLimit: 'limit=100, remaining=50, reset=30' }));
console.log('draft 7:', older.limit, older.remaining);
const [[name, parameters]] = parseList(newest);
console.log('structured-headers:', name, parameters.get('r'), parameters.get('t'));
JS
node try.mjs | tee seen
diff - seen <<'SEEN'
newest: NaN NaN Invalid Date
draft 7: 100 50
structured-headers: default 50 30
SEEN
