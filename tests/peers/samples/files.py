# The file server of `python3 -m http.server`: it decodes a path, and then resolves it.
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

server = ThreadingHTTPServer(('127.0.0.1', 0), partial(SimpleHTTPRequestHandler, directory='files'))
print('listening', server.server_port, flush=True)
server.serve_forever()
