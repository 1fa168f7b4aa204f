// undici's ProxyAgent, which editors on Node use, over either HTTP version.
"use strict";

const { ProxyAgent, request } = require("undici");
const job = require("./job.cjs");

async function main() {
  const dispatcher = new ProxyAgent({
    uri: job.proxyUrl,
    allowH2: job.http2,
    requestTls: { ca: job.ca, allowH2: job.http2 },
  });
  const answer = await request(job.url, { dispatcher, method: "POST", headers: job.headers, body: job.body });
  for await (const piece of answer.body) {
    job.handBack(piece);
  }
  job.report(job.http2 ? "2" : "1.1", answer.statusCode);
  await dispatcher.close();
}

main().catch(job.fail);
