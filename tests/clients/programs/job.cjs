// What a test wants sent, and how the answer is handed back; see `Job` in ../job.rs.
"use strict";

const { readFileSync } = require("node:fs");

const env = process.env;

exports.proxyUrl = env.PROXY_URL;
exports.proxyServer = `http://${env.PROXY_HOST}:${env.PROXY_PORT}`;
exports.proxyUser = env.PROXY_USER;
exports.proxyPassword = env.PROXY_PASSWORD;
exports.ca = readFileSync(env.CA_FILE);
exports.url = env.URL;
exports.headers = Object.fromEntries(env.HEADERS.split("\n").map((line) => line.split(": ", 2)));
exports.body = env.BODY;
exports.http2 = env.HTTP_VERSION === "2";

/** Passes on a piece of the answer's body as soon as it is there. */
exports.handBack = (piece) => process.stdout.write(piece);

/** Tells how the answer came. */
exports.report = (version, status) => console.error(`HTTP/${version} ${status}`);

/** Ends with every cause of a failure in words. */
exports.fail = (error) => {
  for (let cause = error; cause; cause = cause.cause) {
    console.error(String(cause));
  }
  process.exit(1);
};
