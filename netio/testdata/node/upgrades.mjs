// Opens WebSockets through npm's ws and prints, as JSON, what became of each. Arguments: the
// URL, then a JSON array of {protocols, origin, send, binary, fragments}.
import WebSocket from "ws";

const [url, cases] = process.argv.slice(2);

const attempt = ({ protocols = [], origin, send, binary = false, fragments = false }) =>
  new Promise((resolve) => {
    const outcome = { opened: false };
    const ws = new WebSocket(url, protocols, origin ? { origin } : {});
    ws.on("unexpected-response", (request, response) => {
      outcome.status = response.statusCode;
      request.destroy();
      resolve(outcome);
    });
    ws.on("open", () => {
      outcome.opened = true;
      outcome.protocol = ws.protocol;
      const half = fragments ? send.length >> 1 : 0;
      if (fragments) ws.send(Buffer.from(send.slice(0, half)), { binary, fin: false });
      ws.send(Buffer.from(send.slice(half)), { binary });
    });
    ws.on("message", (data, isBinary) => {
      outcome.answer = data.toString();
      outcome.binary = isBinary;
      ws.close(1000);
    });
    ws.on("error", (err) => {
      outcome.error = err.message;
    });
    ws.on("close", (code) => {
      outcome.code = code;
      resolve(outcome);
    });
  });

const outcomes = [];
for (const one of JSON.parse(cases)) outcomes.push(await attempt(one));
console.log(JSON.stringify(outcomes));
