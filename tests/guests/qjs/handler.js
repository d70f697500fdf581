// Parses JSON and answers JSON: what an owner's JavaScript costs at least.

const encode = (text) => {
  const bytes = [];
  for (const char of unescape(encodeURIComponent(text))) bytes.push(char.charCodeAt(0));
  return new Uint8Array(bytes);
};
const decode = (bytes) => decodeURIComponent(escape(String.fromCharCode(...bytes)));

export const handle = {
  handle(request) {
    const asked = JSON.parse(decode(request.body));
    return {
      status: 200,
      headers: [["content-type", encode("application/json")]],
      body: encode(JSON.stringify({ asked, api: request.api })),
      attributes: [],
    };
  },
};
