// What to call with, and what came back.
declare const process: { argv: string[] };

interface Given {
  base: string;
  key: string;
  api: string | null;
  body: any;
  webhook_url: string | null;
}

const read = JSON.parse(process.argv[2]) as Given;
export const given = {
  ...read,
  headers: (read.webhook_url === null ? {} : { 'Ripost-Webhook-Url': read.webhook_url }) as Record<string, string>,
};

/** Lets paths be of the gateway: clients of orval know no address but the document's. */
export function here(): void {
  const outside = globalThis.fetch;
  globalThis.fetch = (path, options) => outside(new URL(String(path), given.base), options);
}

export function said(client: string, status: number | undefined, body: unknown): void {
  console.log(JSON.stringify({ [client]: { status, body } }));
}
