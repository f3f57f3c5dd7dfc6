// Asks the mirror of tests/real_http.rs through Node's fetch (undici) and compares every answer.
//
//     node_http.mjs HOST
//
// The proxy comes from HTTPS_PROXY and HTTP_PROXY, its CA from NODE_EXTRA_CA_CERTS. Plain requests go once in absolute
// form and once inside CONNECT. What was answered as it should be has its name printed.

import { EnvHttpProxyAgent, fetch } from "undici";

const host = process.argv[2];
const body = Array.from({ length: 50_000 }, (_, n) => `${n.toString(16)} `).join("");

await through("fetch", { proxyTunnel: false });
await through("fetch in tunnels", { proxyTunnel: true });

async function through(name, options) {
  const dispatcher = new EnvHttpProxyAgent(options);
  const signal = AbortSignal.timeout(20_000);
  for (const scheme of ["https", "http"]) {
    const ask = async (method, path, init, expected = "") => {
      const answer = await fetch(`${scheme}://${host}/${path}`, { method, dispatcher, signal, ...init });
      compare(await answer.text(), `${method} /${path} HTTP/1.1\n${host}\n${expected}`);
    };
    for (const path of ["get", "gzip", "chunked"]) await ask("GET", path, {});
    await ask("POST", "post", { body }, body);
    await ask("PUT", "stream", { body: pieces(), duplex: "half" }, body);
  }
  await dispatcher.close();
  console.log(name);
}

function pieces() {
  const parts = body.match(/.{1,10000}/gs);
  return new ReadableStream({
    pull(controller) {
      const part = parts.shift();
      if (part === undefined) controller.close();
      else controller.enqueue(new TextEncoder().encode(part));
    },
  });
}

function compare(told, expected) {
  if (told !== expected) throw new Error(`told ${JSON.stringify(told.slice(0, 200))}, ${told.length} bytes`);
}
