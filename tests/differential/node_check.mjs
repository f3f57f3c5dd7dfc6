// Reads forwarded requests with Node's HTTP server (llhttp), a parser that shares nothing with ours.
//
//     node_check.mjs < RECORDS      one JSON line per record, as h11_check.py: method, target, host, body (hex)
//
// A record is its length in decimal digits, LF, and so many bytes: all that went to the origin on one connection. It is
// `null` where the request in it has not ended, and `{"refused": why}` where it is not exactly one. llhttp knows a
// closed list of methods; what it does not know is `{"unknown": method}`.

import { METHODS, Server } from "node:http";
import { Duplex } from "node:stream";
import { buffer } from "node:stream/consumers";
import { setImmediate } from "node:timers/promises";

for (const raw of records(await buffer(process.stdin))) {
  console.log(JSON.stringify(await read(raw)));
}

function* records(all) {
  for (let at = 0; at < all.length; ) {
    const end = all.indexOf("\n", at) + 1;
    const length = Number(all.toString("latin1", at, end));
    yield all.subarray(end, end + length);
    at = end + length;
  }
}

/** Feeds a server that nobody listens to with a connection of these bytes. */
async function read(raw) {
  const [method] = raw.toString("latin1", 0, 64).split(" ", 1);
  const seen = { begun: 0, ended: [], refused: null };
  const server = new Server({ maxHeaderSize: 1 << 20, keepAlive: true });
  server.maxHeadersCount = 0;
  for (const name of ["request", "checkContinue", "checkExpectation"]) {
    server.on(name, (request, response) => note(request, response, seen));
  }
  const connection = new Duplex({ read() {}, write: (_bytes, _encoding, done) => done() });
  const closed = new Promise((done) => connection.on("close", done));
  server.on("clientError", ({ code }) => {
    if (code !== "HPE_INVALID_EOF_STATE") seen.refused = code;
    connection.destroy();
  });
  server.emit("connection", connection);
  connection.push(raw);
  for (let turn = 0; turn < 3; turn++) await setImmediate(); // read and answered, before the peer hangs up
  connection.push(null);
  await closed;
  if (seen.refused === "HPE_INVALID_METHOD" && !METHODS.includes(method)) return { unknown: method };
  if (seen.refused) return { refused: seen.refused };
  if (seen.begun > 1) return { refused: `${seen.begun} requests` };
  return seen.ended[0] ?? null;
}

async function note(request, response, seen) {
  seen.begun += 1;
  const body = await buffer(request).catch(() => null); // cut short
  if (body === null) return;
  response.end();
  const { method, url: target, rawHeaders } = request;
  const hosts = rawHeaders.filter((_, n) => n % 2 === 1 && rawHeaders[n - 1].toLowerCase() === "host");
  if (hosts.length !== 1) seen.refused = `${hosts.length} Host fields`;
  seen.ended.push({ method, target, host: hosts[0], body: body.toString("hex") });
}
