// 1. Submit the request with webhook URL
const response = await fetch('https://gateway.example/api/demo/api/bb-webhook-receiver', {
  method: 'POST',
  headers: {
    'Content-Type': 'application/json',
    'X-Consumer-Key': 'demo-public-key-2026'
  },
  body: JSON.stringify({
    action: 'generate-report',
    format: 'json',
    webhook_url: 'https://your-app.com/hook'
  })
});

const ack = await response.json();
console.log('Request accepted:', ack.requestId);
