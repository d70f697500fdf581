# 2. Your webhook endpoint receives the result
# Flask example:
from flask import Flask, request
app = Flask(__name__)

@app.route('/hook', methods=['POST'])
def webhook():
    result = request.json
    print(f"Webhook received: {result}")
    return '', 200


from werkzeug.serving import make_server

server = make_server('127.0.0.1', 0, app)
print('listening', server.server_port, flush=True)
server.serve_forever()
