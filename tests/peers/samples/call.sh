curl -X POST https://gateway.example/api/demo/api/bb-webhook-receiver \
  -H "Content-Type: application/json" \
  -H "X-Consumer-Key: demo-public-key-2026" \
  -d '{
    "action": "generate-report",
    "format": "json",
    "webhook_url": "https://your-app.com/hook"
  }'
