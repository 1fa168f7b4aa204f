// fetch() with the proxy from HTTPS_PROXY and the CA from NODE_EXTRA_CA_CERTS, as command line tools on Node have it.
"use strict";

const { EnvHttpProxyAgent, fetch } = require("undici");
const job = require("./job.cjs");

async function main() {
  const dispatcher = new EnvHttpProxyAgent();
  const answer = await fetch(job.url, { dispatcher, method: "POST", headers: job.headers, body: job.body });
  for await (const piece of answer.body) {
    job.handBack(piece);
  }
  job.report("1.1", answer.status);
  await dispatcher.close();
}

main().catch(job.fail);
