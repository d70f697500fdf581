import express from 'express';

const app = express();
app.use(express.json());

// 2. Your webhook endpoint receives the result
// Express.js example:
app.post('/hook', (req, res) => {
  const result = req.body;
  console.log('Webhook received:', result);
  res.sendStatus(200);
});

const server = app.listen(0, '127.0.0.1', () => console.log('listening', server.address().port));
