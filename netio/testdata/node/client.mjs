// Drives a Keyframe server through npm's ws. Arguments: the URL, then a file of
// JSON: an array of {send, want}. Exits 1 with a message when an answer differs.
import { readFileSync } from "node:fs";
import WebSocket from "ws";

const [url, file] = process.argv.slice(2);
const exchanges = JSON.parse(readFileSync(file, "utf8"));
const fail = (why) => {
  console.error(why);
  process.exit(1);
};

const ws = new WebSocket(url);
const wanted = exchanges.flatMap((x) => x.want);
let got = 0;
let ponged = false;

ws.on("error", (err) => fail(`error: ${err.message}`));
ws.on("open", () => {
  if (ws.extensions !== "") fail(`negotiated ${ws.extensions}`);
  ws.ping("are you there");
  exchanges.forEach(({ send }, i) => {
    if (i % 2 === 0) {
      ws.send(send);
    } else {
      // in two fragments
      const half = send.length >> 1;
      ws.send(send.slice(0, half), { fin: false });
      ws.send(send.slice(half), { fin: true });
    }
  });
});
ws.on("pong", (data) => {
  ponged = data.toString() === "are you there";
});
ws.on("message", (data, isBinary) => {
  const want = wanted[got++];
  if (isBinary || data.toString() !== want) fail(`answer ${got}: ${data}\nwant: ${want}`);
  if (got === wanted.length) ws.close(1000, "done");
});
ws.on("close", (code) => {
  if (got !== wanted.length) fail(`closed with ${code} after ${got} of ${wanted.length} answers`);
  if (code !== 1000) fail(`closed with ${code}`);
  if (!ponged) fail("no pong");
  console.log(`${got} answers`);
});
