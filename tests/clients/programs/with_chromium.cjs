// Chromium, which answers the proxy's challenge as VS Code does: a page on the target's host calls fetch().
"use strict";

const { chromium } = require("playwright-core");
const job = require("./job.cjs");

const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];

/** Runs in the page. */
async function post({ url, headers, body }) {
  const answer = await fetch(url, { method: "POST", headers, body });
  const reader = answer.body.getReader();
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    await handBack(Array.from(piece.value));
  }
  const [timing] = performance.getEntriesByName(url).slice(-1);
  return { status: answer.status, protocol: timing.nextHopProtocol };
}

async function main() {
  const context = await chromium.launchPersistentContext(`${process.env.HOME}/profile`, {
    executablePath: process.env.CHROMIUM,
    headless: true,
    args: flags,
    proxy: { server: job.proxyServer, username: job.proxyUser, password: job.proxyPassword },
    // The answers of Copilot's hosts carry a policy that forbids scripts.
    bypassCSP: true,
  });
  const page = await context.newPage();
  await page.exposeFunction("handBack", (bytes) => job.handBack(Buffer.from(bytes)));
  page.on("response", (answer) => console.error(answer.status(), answer.url()));
  await page.goto(new URL("/_ping", job.url).href);
  const { status, protocol } = await page.evaluate(post, { url: job.url, headers: job.headers, body: job.body });
  job.report(protocol === "h2" ? "2" : "1.1", status);
  await context.close();
}

main().catch(job.fail);
