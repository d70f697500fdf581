import requests

# 1. Submit the request with webhook URL
response = requests.post(
    'https://gateway.example/api/demo/api/bb-webhook-receiver',
    headers={
        'Content-Type': 'application/json',
        'X-Consumer-Key': 'demo-public-key-2026'
    },
    json={
        'action': 'generate-report',
        'format': 'json',
        'webhook_url': 'https://your-app.com/hook'
    }
)

ack = response.json()
print(f"Request accepted: {ack['requestId']}")
