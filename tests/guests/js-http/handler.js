// Answers what it was asked, by the web's own `fetch` event: nothing here is Ripost's.

addEventListener("fetch", (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  const { pathname, search } = new URL(request.url);
  const answer = {
    method: request.method,
    path: pathname,
    query: search.slice(1),
    body: await request.text(),
    request: request.headers.get("ripost-request-id"),
  };
  return new Response(JSON.stringify(answer), { headers: { "content-type": "application/json" } });
}
