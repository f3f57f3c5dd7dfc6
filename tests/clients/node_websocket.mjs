// Talks to the echo of tests/real_websocket.rs through Node's WebSocket (undici), over wss and then ws.
//
//     node_websocket.mjs HOST
//
// The proxy comes from HTTPS_PROXY and HTTP_PROXY, its CA from NODE_EXTRA_CA_CERTS. Each scheme on which every message
// came back is printed.

import { EnvHttpProxyAgent, WebSocket } from "undici";

const messages = ["hello", "déjà vu", new Uint8Array(1 << 20).map((_, n) => n % 251)];
const dispatcher = new EnvHttpProxyAgent();

for (const scheme of ["wss", "ws"]) {
  await talk(`${scheme}://${process.argv[2]}/echo`);
  console.log(scheme);
}
await dispatcher.close();

async function talk(url) {
  const socket = new WebSocket(url, { dispatcher });
  socket.binaryType = "arraybuffer";
  await event(socket, "open");
  for (const message of messages) {
    socket.send(message);
    const { data } = await event(socket, "message");
    if (Buffer.compare(Buffer.from(data), Buffer.from(message)) !== 0) throw new Error(`told ${data}`);
  }
  socket.close(4001, "enough");
  const { code } = await event(socket, "close");
  if (code !== 4001) throw new Error(`closed with ${code}`);
}

/** The next event of that name; an error instead is thrown. */
function event(socket, name) {
  return new Promise((done, fail) => {
    socket.addEventListener(name, done, { once: true });
    socket.addEventListener("error", ({ error, message }) => fail(error ?? new Error(message)), { once: true });
  });
}
