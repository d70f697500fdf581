// A file server as many are written: decode, join, read.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';

const server = createServer(async (request, response) => {
  try {
    const path = decodeURIComponent(request.url.split('?')[0]);
    response.end(await readFile(join('files', path)));
  } catch {
    response.writeHead(404).end();
  }
});
server.listen(0, '127.0.0.1', () => console.log('listening', server.address().port));
