# An owner's service that knows nothing of the gateway: it acknowledges, and posts its result to `webhook_url` later.
from threading import Timer

import requests
from flask import Flask, request
from werkzeug.serving import make_server

app = Flask(__name__)


def call_back(url, action):
    answer = requests.post(url, json={'action': action, 'made_by': 'flask'}, timeout=10)
    print('called back', answer.status_code, flush=True)


@app.route('/process', methods=['POST'])
def process():
    body = request.json
    Timer(0.1, call_back, [body['webhook_url'], body['action']]).start()
    return {'queued': True}, 202


server = make_server('127.0.0.1', 0, app)
print('listening', server.server_port, flush=True)
server.serve_forever()
