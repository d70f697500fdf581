// An owner's service that knows nothing of the gateway: it acknowledges, and posts its result to `webhook_url` later.
import express from 'express';

const app = express();
app.use(express.json());

app.post('/process', (req, res) => {
  const { action, webhook_url } = req.body;
  res.status(202).json({ queued: true });
  setTimeout(async () => {
    const answer = await fetch(webhook_url, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ action, made_by: 'express' }),
    });
    console.log('called back', answer.status);
  }, 100);
});

const server = app.listen(0, '127.0.0.1', () => console.log('listening', server.address().port));
